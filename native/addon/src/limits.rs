//! Binding of cnx-limits; filled by its crate.
