//! A machine that writes down what it is asked for, for tests of what stands above machines.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrotape_backend::{Error, ErrorKind, Result};

use crate::machine::{Fault, Machine, Module};
use crate::queue::{Command, Graph, Launch};

/// What a test has a machine do while somebody waits for it.
type Meanwhile = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// Writes down what is run: for each launch its last argument. Memory has addresses and no bytes.
#[derive(Default)]
pub(crate) struct Notebook {
    pub(crate) ran: Mutex<Vec<u64>>,
    /// How many launches each replay changed.
    pub(crate) replays: Mutex<Vec<usize>>,
    pub(crate) replayed: AtomicUsize,
    pub(crate) waits: AtomicUsize,
    pub(crate) calls: AtomicUsize,
    /// What the next wait finds.
    pub(crate) fault: Mutex<Option<Fault>>,
    /// Done by the next wait, as by another thread.
    pub(crate) meanwhile: Meanwhile,
    /// For how many replays and compilations there is no room.
    pub(crate) no_room: AtomicUsize,
    /// What was freed, each with how many waits there had been.
    pub(crate) freed: Mutex<Vec<usize>>,
    allocated: AtomicUsize,
}

impl fmt::Debug for Notebook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notebook").finish_non_exhaustive()
    }
}

impl Notebook {
    fn room(&self) -> Result<()> {
        let less = |times: usize| times.checked_sub(1);
        match self.no_room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(_) => Err(Error::new(ErrorKind::OutOfMemory, "a test wants it so")),
            Err(_) => Ok(()),
        }
    }
}

impl Machine for Notebook {
    fn allocate(&self, _: usize) -> Result<u64> {
        Ok(4096 * (self.allocated.fetch_add(1, Ordering::Relaxed) as u64 + 1))
    }

    fn free(&self, _: u64, _: usize) {
        self.freed.lock().unwrap().push(self.waits.load(Ordering::Relaxed));
    }

    fn upload(&self, _: &[u8], _: u64) -> Result<()> {
        Ok(())
    }

    fn download(&self, _: u64, _: &mut [u8]) -> Result<()> {
        self.synchronize()
    }

    fn compile(&self, _: &str, _: &str) -> Result<Module> {
        self.room()?;
        Ok(std::sync::Arc::new(()))
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        self.ran.lock().unwrap().push(launch.args.last_word());
        Ok(())
    }

    fn call(&self, call: &dyn crate::queue::Call) -> Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        call.run()
    }

    fn record(&self, commands: &[Command]) -> Result<Graph> {
        Ok(Box::new(Mutex::new(commands.to_vec())))
    }

    fn replay(&self, graph: &Graph, changed: &[(usize, &Launch)]) -> Result<()> {
        self.room()?;
        let commands: &Mutex<Vec<Command>> = graph.downcast_ref().unwrap();
        let mut commands = commands.lock().unwrap();
        for &(index, launch) in changed {
            commands[index] = Command::Launch(launch.clone());
        }
        self.replays.lock().unwrap().push(changed.len());
        self.replayed.fetch_add(commands.len(), Ordering::Relaxed);
        commands.iter().try_for_each(|command| match command {
            Command::Launch(launch) => self.launch(launch),
            Command::Call(call) => self.call(&**call),
        })
    }

    fn synchronize(&self) -> Result<()> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        if let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
            meanwhile();
        }
        Ok(())
    }

    fn fault_address(&self) -> u64 {
        0
    }

    fn take_fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap().take()
    }
}

/// Work of a library that counts how often it ran, by its first word.
#[derive(Debug)]
pub(crate) struct Note(pub(crate) [u64; 1]);

impl crate::queue::Call for Note {
    fn name(&self) -> &'static str {
        "note"
    }

    fn identity(&self) -> &[u64] {
        &self.0
    }

    fn run(&self) -> Result<()> {
        Ok(())
    }
}
