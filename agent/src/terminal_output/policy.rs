//! For whom output is filtered.

/// What passes beside what draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What changes the bytes that the keyboard and the mouse send: application
    /// keys, mouse and focus reports, bracketed paste, the kitty protocol. Only
    /// a terminal whose keys go to the program wants it.
    pub keys: bool,
    /// What erases the rows that scrolled off: on a person's own terminal they
    /// are of other programs.
    pub history: bool,
    /// The title of the window (OSC 0, 1, 2).
    pub title: bool,
}

impl Policy {
    /// For the terminal of a person who reads the output, and whose keys go
    /// elsewhere.
    pub const READER: Self = Self {
        keys: false,
        history: false,
        title: false,
    };

    /// For a terminal that is the program's own, and whose keys it gets.
    pub const KEYBOARD: Self = Self {
        keys: true,
        history: true,
        title: false,
    };

    pub(super) fn allows(self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Draws => true,
            Purpose::Keys => self.keys,
            Purpose::History => self.history,
        }
    }
}

/// What a control function is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It draws, or changes how is drawn.
    Draws,
    /// It changes what the keyboard sends.
    Keys,
    /// It erases rows that scrolled off.
    History,
}
