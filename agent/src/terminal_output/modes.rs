//! The modes that may be set and reset.

use super::policy::Purpose::{self, Draws, Keys};

/// A mode of SM and RM, or of their private forms DECSET and DECRST.
pub(super) type Mode = (u16, Purpose);

/// Modes of ECMA-48. Left out are those that lock the keyboard (2, KAM) and that
/// echo it (12, SRM).
pub(super) const ANSI: &[Mode] = &[
    (4, Draws), // IRM: insert
    (20, Keys), // LNM: what Return sends, too
];

/// Private modes, as in ctlseqs. Left out are those that resize the window (3,
/// 40), that make the terminal send what nobody typed (2031, 2048), and that
/// wait for an answer (1001).
pub(super) const PRIVATE: &[Mode] = &[
    (1, Keys),     // DECCKM: cursor keys
    (5, Draws),    // DECSCNM: reverse video
    (6, Draws),    // DECOM: origin
    (7, Draws),    // DECAWM: wrap
    (9, Keys),     // mouse, X10
    (12, Draws),   // cursor blinks
    (25, Draws),   // DECTCEM: cursor is visible
    (45, Draws),   // reverse wrap
    (47, Draws),   // alternate screen
    (66, Keys),    // DECNKM: keypad
    (67, Keys),    // DECBKM: Backspace
    (69, Draws),   // DECLRMM: left and right margins
    (1000, Keys),  // mouse: buttons
    (1002, Keys),  // mouse: drags
    (1003, Keys),  // mouse: moves
    (1004, Keys),  // focus
    (1005, Keys),  // mouse, UTF-8
    (1006, Keys),  // mouse, SGR
    (1007, Keys),  // wheel as cursor keys
    (1015, Keys),  // mouse, urxvt
    (1016, Keys),  // mouse, pixels
    (1034, Keys),  // Meta sets the eighth bit
    (1035, Keys),  // Alt and Num Lock
    (1036, Keys),  // Meta sends ESC
    (1039, Keys),  // Alt sends ESC
    (1047, Draws), // alternate screen
    (1048, Draws), // cursor is saved
    (1049, Draws), // both
    (2004, Keys),  // bracketed paste
    (2026, Draws), // synchronized output
];
