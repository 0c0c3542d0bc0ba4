"""Which events of a long history a turn needs, and how a store finds them without reading all others."""
