"""The model gateway: the one door to the models, and where every answer is charged."""
