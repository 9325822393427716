//! Fixture files and their runners.
