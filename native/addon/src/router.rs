//! Binding of cnx-router; filled by its crate.
