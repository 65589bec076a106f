; SPDX-License-Identifier: Apache-2.0
; HLT with interrupts off: nothing will ever wake it.
%include "lib.inc"
main:
    say "halt: now", 13, 10
    cli
    hlt
    say "FAIL awake", 13, 10
    ret
