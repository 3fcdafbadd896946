//! A. Layers and archives: base image layers, what ADD unpacks, layouts (attacks 1 to 28).
