//! A stack of tasks that several threads empty and fill.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

struct State<T, E> {
    stack: Vec<T>,
    busy: usize,
    error: Option<E>,
}

/// So many waiting tasks are worth more threads.
const MANY: usize = 2;

/// The tasks that are left. Last in, first out: so the number of open directories follows the depth of a tree.
pub(crate) struct Pool<T, E> {
    state: Mutex<State<T, E>>,
    changed: Condvar,
}

impl<T: Send, E: Send> Pool<T, E> {
    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task.
    pub(crate) fn push(&self, task: T) {
        self.lock().stack.push(task);
        self.changed.notify_one();
    }

    /// Does `first` and all tasks that come of it, on as many threads as there are processors (at most 8) as soon as
    /// several tasks wait: for few of them starting a thread costs more than it gains.
    pub(crate) fn run<F>(first: T, work: F) -> Result<(), E>
    where
        F: Fn(&Self, T) -> Result<(), E> + Sync,
    {
        let pool = Self {
            state: Mutex::new(State {
                stack: vec![first],
                busy: 0,
                error: None,
            }),
            changed: Condvar::new(),
        };
        std::thread::scope(|scope| {
            let mut alone = true;
            pool.serve(&work, |waiting| {
                if !alone || waiting < MANY {
                    return;
                }
                alone = false;
                let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
                for _ in 1..threads {
                    // Without another thread this one does all the work.
                    let _ = std::thread::Builder::new()
                        .spawn_scoped(scope, || pool.serve(&work, |_| ()));
                }
            });
        });
        let state = pool.state.into_inner();
        match state.unwrap_or_else(PoisonError::into_inner).error {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// `waiting` hears, before each task, how many are left besides it.
    fn serve<F: Fn(&Self, T) -> Result<(), E>>(&self, work: &F, mut waiting: impl FnMut(usize)) {
        let mut state = self.lock();
        loop {
            if state.error.is_some() {
                break;
            }
            if let Some(task) = state.stack.pop() {
                state.busy += 1;
                let left = state.stack.len();
                drop(state);
                waiting(left);
                let result = work(self, task);
                state = self.lock();
                state.busy -= 1;
                if let Err(error) = result {
                    state.error.get_or_insert(error);
                }
            } else if state.busy == 0 {
                break;
            } else {
                let waited = self.changed.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
        self.changed.notify_all();
    }
}
