"""A new output format is one record: it appears in --help, in the documentation's table, and is written."""
import argparse
from pathlib import Path

import numpy as np
import pytest

from mamba_cd_plugin.cli import predict
from mamba_cd_plugin.inference import outputs, vector_formats
from mamba_cd_plugin.inference.vector_formats import VECTOR_FORMATS

PAGE = (Path(__file__).parents[2] / 'docs' / 'predict.md').read_text('utf-8')
SMALL = dict(tile=128, overlap=32)


def help_text():
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    return ' '.join(parser.format_help().split())


def test_the_page_has_the_table_of_the_records():
    assert outputs.format_table() in PAGE


def test_help_names_every_choice():
    for record in outputs.FORMATS:
        if record.option in ('probability', 'polygons') and record.raster:
            assert f'{record.choice}: ' in help_text()


def test_a_new_record_is_all_that_a_format_needs(tmp_path, inferencer, town, write_raster, monkeypatch):

    def write_csv(path, result):
        rows, columns = np.nonzero(result.mask == 1)
        path.write_text('row,column\n' + ''.join(f'{row},{column}\n' for row, column in zip(rows, columns)))
        return dict(points=len(rows))

    csv = outputs.OutputFormat('polygons', 'csv', True, '_points.csv', 'changed pixels as text', write_csv)
    monkeypatch.setattr(outputs, 'FORMATS', [*outputs.FORMATS, csv])
    assert 'csv: changed pixels as text' in help_text()
    assert '| `<name>_points.csv` | `--polygons csv` (rasters) | changed pixels as text |' in outputs.format_table()
    paths = [write_raster(tmp_path / f'{name}.tif', image) for name, image in zip('ab', town(100, 120))]
    summary = inferencer(paths, out_dir=str(tmp_path / 'out'), polygons='csv', **SMALL)['predictions'][0]
    assert summary['files'] == ['a_mask.tif', 'a_overview.png', 'a_points.csv']
    lines = (tmp_path / 'out' / 'a_points.csv').read_text().splitlines()
    assert len(lines) - 1 == summary['points'] == summary['changed_pixels'] > 0


def test_what_is_in_the_way_is_known_before_the_model_runs(tmp_path, inferencer, local_model, town, write_raster):
    paths = [write_raster(tmp_path / f'{name}.tif', image) for name, image in zip('ab', town(100, 120))]
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'a_mask.tif').write_text('of the user')
    with pytest.raises(FileExistsError, match='--out .*out: a_mask.tif would be overwritten, which this package'):
        inferencer(paths, out_dir=str(tmp_path / 'out'), **SMALL)
    assert local_model.seen == []
    assert (tmp_path / 'out' / 'a_mask.tif').read_text() == 'of the user'


def test_polygons_are_the_same_in_every_format(tmp_path, inferencer, town, write_raster):
    geopandas = pytest.importorskip('geopandas')
    pytest.importorskip('pyarrow')
    paths = [write_raster(tmp_path / f'{name}.tif', image) for name, image in zip('ab', town(100, 120))]
    tables = {}
    for record in VECTOR_FORMATS:
        out = tmp_path / record.choice
        summary = inferencer(paths, out_dir=str(out), polygons=record.choice, overview=False,
                             min_area=0, **SMALL)['predictions'][0]
        assert summary['files'] == ['a_mask.tif', f'a_polygons.{record.choice}']
        read = geopandas.read_parquet if record.driver is None else geopandas.read_file
        table = read(out / f'a_polygons.{record.choice}').sort_values('id', ignore_index=True)
        assert table.crs.to_epsg() == (4326 if record.in_degrees else 32632)
        tables[record.choice] = table[['id', 'area_m2', 'mean_probability', 'geometry']].to_crs('EPSG:32632')
        assert len(table) == summary['polygons'] > 0
    for choice, table in tables.items():
        for column in ('id', 'area_m2', 'mean_probability'):
            assert table[column].tolist() == tables['gpkg'][column].tolist(), choice
        apart = table.geometry.hausdorff_distance(tables['gpkg'].geometry).max()
        assert apart < (0.01 if choice == 'geojson' else 1e-9), choice  # seven decimals of a degree


def test_geoparquet_without_pyarrow_says_what_to_install(tmp_path, inferencer, local_model, town, write_raster,
                                                         monkeypatch):
    monkeypatch.setattr(vector_formats, 'find_spec', lambda name: None if name == 'pyarrow' else object())
    paths = [write_raster(tmp_path / f'{name}.tif', image) for name, image in zip('ab', town(100, 120))]
    with pytest.raises(ImportError, match='--polygons parquet needs pyarrow: pip install'):
        inferencer(paths, out_dir=str(tmp_path / 'out'), polygons='parquet', **SMALL)
    assert local_model.seen == []
