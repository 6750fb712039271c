"""How threads wait for one another, in LLVM's assembly: by looking again and again, and after a while asleep."""

from __future__ import annotations

import platform
import sys

_NAP = 20_000_000  # nanoseconds that a caller who must not be gone for long sleeps at most
_FUTEX = {"x86_64": 202, "aarch64": 98}
_PAUSE = {"x86_64": 'call void asm sideeffect "pause", ""()', "aarch64": 'call void asm sideeffect "yield", ""()'}


def can_wait() -> bool:
    """Whether this system has the call that sleeping threads need."""
    return sys.platform == "linux" and platform.machine() in _FUTEX


def waiting() -> str:
    """The functions gn_wait(word, old, spins, naps), gn_advance(word), gn_deadline(after) and gn_late(deadline)."""
    machine = platform.machine()
    return _WAITING.format(futex=_FUTEX[machine], pause=_PAUSE[machine], nap=_NAP)


_WAITING = """
declare i64 @syscall(i64, ...)
declare i32 @clock_gettime(i32, ptr)

@gn_nap = private constant [2 x i64] [i64 0, i64 {nap}]

; Until *word is no longer `old`: look so many times, then sleep. Returns early, `old` or not, where `naps` is set.
; The number of sleepers stands behind the word.
define internal void @gn_wait(ptr %word, i32 %old, i32 %spins, i1 %naps) {{
entry:
  %limit = select i1 %naps, ptr @gn_nap, ptr null
  br label %spin
spin:
  %n = phi i32 [ 0, %entry ], [ %n.next, %again ]
  %now = load atomic i32, ptr %word acquire, align 4
  %same = icmp eq i32 %now, %old
  br i1 %same, label %again, label %done
again:
  {pause}
  %n.next = add i32 %n, 1
  %more = icmp ult i32 %n.next, %spins
  br i1 %more, label %spin, label %tired
tired:
  %sleepers = getelementptr inbounds i8, ptr %word, i64 4
  %a = atomicrmw add ptr %sleepers, i32 1 seq_cst
  br label %sleep
sleep:
  %r = call i64 (i64, ...) @syscall(i64 {futex}, ptr %word, i32 128, i32 %old, ptr %limit, ptr null, i32 0)
  %after = load atomic i32, ptr %word seq_cst, align 4
  %still = icmp eq i32 %after, %old
  %wakes = xor i1 %naps, true
  %on = and i1 %still, %wakes
  br i1 %on, label %sleep, label %woken
woken:
  %b = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %done
done:
  ret void
}}

; Count *word up, and wake whoever sleeps for it.
define internal void @gn_advance(ptr %word) {{
entry:
  %g = atomicrmw add ptr %word, i32 1 seq_cst
  %sleepers = getelementptr inbounds i8, ptr %word, i64 4
  %n = load atomic i32, ptr %sleepers seq_cst, align 4
  %none = icmp eq i32 %n, 0
  br i1 %none, label %done, label %wake
wake:
  %r = call i64 (i64, ...) @syscall(i64 {futex}, ptr %word, i32 129, i32 2147483647, ptr null, ptr null, i32 0)
  br label %done
done:
  ret void
}}

; Nanoseconds of the clock that nobody sets, `after` later; 0 for 0.
define internal i64 @gn_deadline(i64 %after) {{
entry:
  %never = icmp eq i64 %after, 0
  br i1 %never, label %none, label %ask
none:
  ret i64 0
ask:
  %time = alloca [2 x i64], align 8
  %r = call i32 @clock_gettime(i32 1, ptr %time)
  %seconds = load i64, ptr %time, align 8
  %behind = getelementptr inbounds i64, ptr %time, i64 1
  %rest = load i64, ptr %behind, align 8
  %whole = mul i64 %seconds, 1000000000
  %now = add i64 %whole, %rest
  %then = add i64 %now, %after
  ret i64 %then
}}

; Whether the deadline has passed; 0 never does.
define internal i1 @gn_late(i64 %deadline) {{
entry:
  %never = icmp eq i64 %deadline, 0
  br i1 %never, label %no, label %look
no:
  ret i1 false
look:
  %soon = call i64 @gn_deadline(i64 1)
  %late = icmp ugt i64 %soon, %deadline
  ret i1 %late
}}
"""
