"""The stages of a run, one a file: trigger -> plan -> enforce (batch)* -> notify (batch)* -> finish."""
