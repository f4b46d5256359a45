"""Methods against each other on one data set and space, each with the same seconds of the device, search and retraining counted."""
