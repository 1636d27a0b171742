//! How much of the processor the children may take from the rest of the machine.

/// How children share the processor with everything else on the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// They get what nobody else wants: right for a machine that is lent. On a machine that is
    /// busy for long they hardly move. The default.
    #[default]
    Idle,
    /// They share like any program: right for what a machine's own user asked for.
    Normal,
}

impl Priority {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Normal => "normal",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Idle, Self::Normal].into_iter().find(|priority| priority.name() == name)
    }
}
