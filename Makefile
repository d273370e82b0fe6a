# The two commands of a fresh machine are `make demo` and `make test`. Each sets up all it needs and a second call
# starts in seconds: the stamp file is newer than pyproject.toml, so that nothing is installed again.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
TESTING := $(VENV)/.tests

# The CPU build that everything here is tested with. On a CUDA machine: make TORCH='torch' demo
TORCH ?= torch==2.13.0

.PHONY: install demo demo-scratch test test-plain sanitize lint docs clean
install: $(STAMP)

$(STAMP): pyproject.toml setup.py Makefile
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet '$(TORCH)'
	$(PY) -m pip install --quiet -e '.[onedl,geo]'
	touch $@

# What only the tests need is much, and the demo should not wait for it.
$(TESTING): $(STAMP)
	$(PY) -m pip install --quiet -e '.[onedl,tests,geo,export,regions]'
	touch $@

# The main job, end to end, on generated data and from the packaged weights, which have never seen these scenes: score
# them, train on, score again with pictures, and predict a town. Never somebody's own MAMBA_CD_DATA.
CD := $(VENV)/bin/mamba-cd
STARTER := cdmamba_v8_small
RECIPE := recipes/$(STARTER)_finetune
DEMO := work_dirs/demo
# Of 60 steps; the schedule ends with the last of them. At a tenth of the recipe's rate: of these scenes the starter
# has seen 5,200 others, and at the whole rate F1 fell from 63 to 58.
EPOCHS := 1
SHORT := train_cfg.max_epochs=$(EPOCHS) param_scheduler.1.T_max=$(EPOCHS) train_cfg.val_interval=$(EPOCHS) \
	default_hooks.logger.interval=10 optim_wrapper.optimizer.lr=1e-4
demo: export MAMBA_CD_DATA := data/demo
demo: $(STAMP)
	$(CD) synthetic data/demo --num-train 240 --num-val 24 --num-test 40 --seed 99
	$(CD) test $(RECIPE) $(STARTER) --work-dir $(DEMO)/starter
	$(CD) train $(RECIPE) --work-dir $(DEMO) --resume --cfg-options $(SHORT)
	$(CD) test $(RECIPE) $(DEMO)/best_changed_F1.pth --work-dir $(DEMO)/test --show-dir $(DEMO)/pictures
	$(CD) sample data/demo_town
	$(CD) predict data/demo_town/town_2019.tif data/demo_town/town_2023.tif --checkpoint $(DEMO)/best_changed_F1.pth \
		--out $(DEMO)/town

# The same from random weights, on easy scenes; a quarter of an hour.
SCRATCH := cdmamba_v8_small_synthetic
demo-scratch: export MAMBA_CD_DATA := data/synthetic
demo-scratch: $(STAMP)
	$(CD) synthetic data/synthetic --easy
	$(CD) train $(SCRATCH)
	$(CD) test $(SCRATCH) work_dirs/$(SCRATCH)/best_changed_F1.pth --show-dir work_dirs/$(SCRATCH)/pictures

# A worker for each core, each with one thread. More than four start longer than they save.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 4 ] && n=4; echo $$n)
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(TESTING)
	$(PY) -m ruff check .
	$(PY) -m mypy

test: lint
	$(PYTEST) --durations=15

# What rounds, once more as the oldest processors would have it: torch and oneDNN without AVX, the kernels compiled for
# any x86-64 (a compiler that refuses -march=native; see FLAG_SETS in ops/cpu_kernel.py).
PLAIN := .pytest_cache/plain
test-plain: $(TESTING)
	mkdir -p $(PLAIN)
	printf '#!/bin/sh\ncase " $$* " in *" -march=native "*) exit 1;; esac\nexec cc "$$@"\n' > $(PLAIN)/cc
	chmod +x $(PLAIN)/cc
	CC=$(CURDIR)/$(PLAIN)/cc MAMBA_CD_CACHE=$(CURDIR)/$(PLAIN) ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 \
		$(PYTEST) tests/test_ops tests/test_models tests/test_identity.py --ignore tests/test_ops/test_triton.py

# The C kernels under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer of gcc; minutes.
sanitize: $(TESTING)
	$(PY) tools/misc/sanitize.py address
	$(PY) tools/misc/sanitize.py undefined
	$(PY) tools/misc/sanitize.py thread

# The site, in site/; what it needs is installed for it alone.
$(VENV)/.docs: $(STAMP)
	$(PY) -m pip install --quiet -e '.[docs]'
	touch $@

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

clean:
	rm -rf $(VENV) site build *.egg-info
