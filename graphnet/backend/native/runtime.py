"""What native code needs at run time: threads that walk through a step together, written in LLVM's assembly.

`sync` is one block of memory that all threads share, each field on a cache line of its own:
  0 generation: goes up by one for each job, and beside it how many sleep until it does
  64 arrived: threads at the barrier
  128 phase: goes up by one each time the barrier opens, and beside it how many sleep until it does
  192 job: the table of the step that is run
  256 busy: 1 while a job runs
Whoever waits looks again and again for a while, and then sleeps in the kernel until woken. A caller that finds the
threads busy with another's job does all of its own: that takes longer, but gives the same bits.
"""

from __future__ import annotations

import platform
import sys

SYNC_BYTES = 320
_SPINS = 500  # some 10 microseconds
_FUTEX = {"x86_64": 202, "aarch64": 98}
_PAUSE = {"x86_64": 'call void asm sideeffect "pause", ""()', "aarch64": 'call void asm sideeffect "yield", ""()'}


def can_wait() -> bool:
    """Whether this system has the call that sleeping threads need."""
    return sys.platform == "linux" and platform.machine() in _FUTEX


def runtime() -> str:
    """The module of gn_launch(sync, table, threads), gn_work(sync, number, threads), gn_barrier."""
    machine = platform.machine()
    futex, pause = _FUTEX[machine], _PAUSE[machine]
    return f"""
declare i64 @syscall(i64, ...)

; Until *word is no longer `old`: look, then sleep. The number of sleepers stands behind the word.
define void @gn_wait(ptr %word, i32 %old) {{
entry:
  br label %spin
spin:
  %n = phi i32 [ 0, %entry ], [ %n.next, %again ]
  %now = load atomic i32, ptr %word acquire, align 4
  %same = icmp eq i32 %now, %old
  br i1 %same, label %again, label %done
again:
  {pause}
  %n.next = add i32 %n, 1
  %more = icmp ult i32 %n.next, {_SPINS}
  br i1 %more, label %spin, label %tired
tired:
  %sleepers = getelementptr inbounds i8, ptr %word, i64 4
  %a = atomicrmw add ptr %sleepers, i32 1 seq_cst
  br label %sleep
sleep:
  %r = call i64 (i64, ...) @syscall(i64 {futex}, ptr %word, i32 128, i32 %old, ptr null, ptr null, i32 0)
  %after = load atomic i32, ptr %word seq_cst, align 4
  %still = icmp eq i32 %after, %old
  br i1 %still, label %sleep, label %woken
woken:
  %b = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %done
done:
  ret void
}}

; Count *word up, and wake whoever sleeps for it.
define void @gn_advance(ptr %word) {{
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

define void @gn_barrier(ptr %sync, i64 %threads) {{
entry:
  %alone = icmp eq i64 %threads, 1
  br i1 %alone, label %done, label %arrive
arrive:
  %arrived = getelementptr inbounds i8, ptr %sync, i64 64
  %phase = getelementptr inbounds i8, ptr %sync, i64 128
  %old = load atomic i32, ptr %phase acquire, align 4
  %before = atomicrmw add ptr %arrived, i32 1 acq_rel
  %count = trunc i64 %threads to i32
  %last.number = sub i32 %count, 1
  %last = icmp eq i32 %before, %last.number
  br i1 %last, label %open, label %wait
open:
  store atomic i32 0, ptr %arrived monotonic, align 4
  call void @gn_advance(ptr %phase)
  br label %done
wait:
  call void @gn_wait(ptr %phase, i32 %old)
  br label %done
done:
  ret void
}}

; A step: for each record of the table {{ function, addresses, chunks, meet }} this thread's share of the chunks; where
; `meet` is set, all threads wait for one another before it. The table begins with the number of records.
define void @gn_walk(ptr %table, ptr %sync, i64 %thread, i64 %threads) {{
entry:
  %count = load i64, ptr %table, align 8
  %records = getelementptr inbounds i64, ptr %table, i64 1
  %next = add i64 %thread, 1
  %none = icmp eq i64 %count, 0
  br i1 %none, label %done, label %record
record:
  %n = phi i64 [ 0, %entry ], [ %n.next, %over ]
  %place = mul i64 %n, 4
  %at = getelementptr inbounds i64, ptr %records, i64 %place
  %at.meet = getelementptr inbounds i64, ptr %at, i64 3
  %meet = load i64, ptr %at.meet, align 8
  %meets = icmp ne i64 %meet, 0
  br i1 %meets, label %wait, label %share
wait:
  call void @gn_barrier(ptr %sync, i64 %threads)
  br label %share
share:
  %at.chunks = getelementptr inbounds i64, ptr %at, i64 2
  %chunks = load i64, ptr %at.chunks, align 8
  %a = mul i64 %thread, %chunks
  %a.end = mul i64 %next, %chunks
  ; Rounded up, so that a single chunk is the first thread's.
  %a.up = add i64 %a, %threads
  %a.less = sub i64 %a.up, 1
  %first = udiv i64 %a.less, %threads
  %b.up = add i64 %a.end, %threads
  %b.less = sub i64 %b.up, 1
  %end = udiv i64 %b.less, %threads
  %some = icmp ult i64 %first, %end
  br i1 %some, label %run, label %over
run:
  %function = load ptr, ptr %at, align 8
  %at.addresses = getelementptr inbounds i64, ptr %at, i64 1
  %addresses = load ptr, ptr %at.addresses, align 8
  call void %function(ptr %addresses, i64 %first, i64 %end)
  br label %over
over:
  %n.next = add i64 %n, 1
  %again = icmp ult i64 %n.next, %count
  br i1 %again, label %record, label %done
done:
  ret void
}}

; The caller's thread: hand the job out, do one's own share, wait for the others.
define void @gn_launch(ptr %sync, ptr %table, i64 %threads) {{
entry:
  %alone = icmp eq i64 %threads, 1
  br i1 %alone, label %single, label %ask
ask:
  %busy = getelementptr inbounds i8, ptr %sync, i64 256
  %got = cmpxchg ptr %busy, i32 0, i32 1 acq_rel monotonic
  %free = extractvalue {{ i32, i1 }} %got, 1
  br i1 %free, label %share, label %single
single:
  call void @gn_walk(ptr %table, ptr %sync, i64 0, i64 1)
  ret void
share:
  %job = getelementptr inbounds i8, ptr %sync, i64 192
  store ptr %table, ptr %job, align 8
  call void @gn_advance(ptr %sync)
  call void @gn_walk(ptr %table, ptr %sync, i64 0, i64 %threads)
  call void @gn_barrier(ptr %sync, i64 %threads)
  store atomic i32 0, ptr %busy release, align 4
  ret void
}}

; A worker's whole life.
define void @gn_work(ptr %sync, i64 %number, i64 %threads) {{
entry:
  br label %next
next:
  %seen = phi i32 [ 0, %entry ], [ %now, %next ]
  call void @gn_wait(ptr %sync, i32 %seen)
  %now = load atomic i32, ptr %sync acquire, align 4
  %job = getelementptr inbounds i8, ptr %sync, i64 192
  %table = load ptr, ptr %job, align 8
  call void @gn_walk(ptr %table, ptr %sync, i64 %number, i64 %threads)
  call void @gn_barrier(ptr %sync, i64 %threads)
  br label %next
}}
"""
