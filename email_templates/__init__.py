"""The letters' words and looks: a folder per letter, `_base` around them, a catalogue per language in `locales`."""
