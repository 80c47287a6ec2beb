//! File copy and allocation calls: FICLONE, copy_file_range, SEEK_DATA, xattrs by descriptor.
