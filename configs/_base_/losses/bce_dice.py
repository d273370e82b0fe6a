# The losses of the recipe, for any version: cross entropy, which tells every pixel something from the first step, and
# Dice, which keeps the few changed ones from being outvoted. V8's own Focal and Lovasz learn more slowly
# (docs/accuracy.md): Lovasz' hinge first lifts all logits alike, and then keeps them near its kink.
recipe_losses = dict(
    _delete_=True,
    bce=dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True, loss_weight=2., loss_name='loss_bce'),
    dice=dict(type='BinaryDiceLoss'))
