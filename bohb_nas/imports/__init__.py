"""Studies made of what other programs recorded; such a study is read like any other and cannot be gone on with."""
