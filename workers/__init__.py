"""The process scripts of the Procfile. They hold no logic: see mailshot.tasks."""
