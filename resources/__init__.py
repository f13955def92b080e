"""What a stage needs from the world: the recipe, the store, the run, the device. Knows no stage and no Dagster."""
