//! Terminal ioctls: TIOCGPTPEER, TIOCSCTTY, window sizes.
