//! Root file system backends behind one trait, and the copy engine.
