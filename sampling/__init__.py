"""Labels, maturity, downsampling, rates and the calibration that undoes them. Import the modules, not this package."""
