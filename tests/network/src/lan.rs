//! The machines and the switch between them.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use end_to_end::Gleaner;

use crate::Machine;

/// Tells the networks of one process apart.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Machines on one switch: number `n` has the address `10.77.0.n+1`.
pub struct Lan {
    machines: Vec<Machine>,
    switch: Namespace,
}

/// A network namespace; dropped, it is gone with all that is in it.
pub(crate) struct Namespace {
    name: String,
}

/// Why no network can be made here; `None` when it can.
pub fn refusal() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    let probe = Namespace::add("probe").err()?;
    Some(format!("no network namespace can be made here: {probe:#}"))
}

impl Lan {
    /// A network of `machines` machines, each with `gleaner` on it.
    ///
    /// # Errors
    /// When the system refuses; nothing is left behind.
    pub fn new(gleaner: &Gleaner, machines: u8) -> Result<Self> {
        let switch = Namespace::add("switch")?;
        switch.ip(&["link", "add", "switch", "type", "bridge"])?;
        switch.ip(&["link", "set", "switch", "up"])?;
        let mut lan = Self { machines: Vec::new(), switch };
        for number in 0..machines {
            let machine = lan.plug_in(gleaner, number)?;
            lan.machines.push(machine);
        }
        Ok(lan)
    }

    /// One of the machines, from 0.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn machine(&self, number: usize) -> &Machine {
        &self.machines[number]
    }

    /// One of the machines, from 0, to be changed.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn machine_mut(&mut self, number: usize) -> &mut Machine {
        &mut self.machines[number]
    }

    fn plug_in(&self, gleaner: &Gleaner, number: u8) -> Result<Machine> {
        let namespace = Namespace::add(&format!("m{number}"))?;
        let port = format!("port{number}");
        let veth = ["type", "veth", "peer", "name", "eth0", "netns", &namespace.name];
        self.switch.ip(&[&["link", "add", &port][..], &veth].concat())?;
        self.switch.ip(&["link", "set", &port, "master", "switch", "up"])?;
        namespace.ip(&["link", "set", "lo", "up"])?;
        namespace.ip(&["link", "set", "eth0", "up"])?;
        let address = format!("10.77.0.{}", number + 1);
        namespace.ip(&["addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
        Machine::new(gleaner, namespace, address)
    }
}

impl Namespace {
    fn add(name: &str) -> Result<Self> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gleaner-{}-{number}-{name}", std::process::id());
        ip(&["netns", "add", &name])?;
        Ok(Self { name })
    }

    /// Runs `ip` inside.
    pub(crate) fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.name][..], arguments].concat())
    }

    /// The command before which a program runs inside: it takes the program's place.
    pub(crate) fn launcher(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let output = output.context("cannot run `ip`; on Debian it is in the package iproute2")?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("`ip {}` failed: {}", arguments.join(" "), words.trim());
    }
    Ok(())
}
