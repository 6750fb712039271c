"""What native code needs at run time: threads that walk through a step together, written in LLVM's assembly.

A step is a table of phases; a phase is a few kernels between which no thread has to wait, cut into units. Each thread
has a share of the units, claims them one by one from the front, and when it has none left takes those of others from
the back. A phase is over when all its units are done, whoever did them: a thread that the system lets wait holds up
nothing but the unit that it is at. Chunks, which fix all sums, are never divided: the bits do not depend on who does
them.

`sync` is one block of memory that all threads share, each field on a cache line of its own:
  0 changes: goes up by one when there is something new to do or to know, and beside it how many sleep until it does
  64 busy: 1 while a job runs
  128 job: the table of the step that is run, and beside it the processor that its caller ran on when it began
  192 done: units of the phase that are done
  256 finished: 1 once all phases are done
  320 cancelled: 1 where what is left shall not be done
  384 and on, a line a thread: (phase << 32) + (end << 16) + first: the units of its share that nobody has claimed
A table is 8 words {phases, state, phase, unit, address of the records}, then {first record, end, units, 0} for each
phase, then the records {function, addresses of its buffers, chunks, 0}. State: 0 at rest, 1 run by all threads, 2 by
its caller alone, who found the threads busy with another's job and is at `unit` of `phase`.
"""

from __future__ import annotations

from graphnet.backend.native.processors import processors
from graphnet.backend.native.units import units
from graphnet.backend.native.waiting import waiting

LINE = 64  # bytes of a cache line
FINISHED, SHARES = 256, 384  # where in `sync`
MOST_UNITS = (1 << 16) - 1
# How often a caller looks before it sleeps, some 10 microseconds; and a worker, for whom the next step may come as soon
# as Python has made use of the last one.
_SPINS, _LONGER = 500, 5_000


def runtime() -> str:
    """The module of gn_launch(call), gn_resume(call), gn_cancel(call) and gn_work(sync, number, threads).

    A call is four words: {sync, table, threads, nanoseconds after which to come back with 1, unfinished; 0: never}.
    """
    calls = _CALLS.replace("SPINS", str(_SPINS)).replace("LONGER", str(_LONGER))
    return waiting() + processors() + units() + calls


_CALLS = """
; Help until the job is over (0), or the deadline has passed (1).
define internal i32 @gn_join(ptr %sync, i64 %threads, i64 %deadline) {
entry:
  %naps = icmp ne i64 %deadline, 0
  br label %look
look:
  %seen = load atomic i32, ptr %sync acquire, align 4
  %late = call i1 @gn_help(ptr %sync, i64 0, i64 %threads, i64 %deadline)
  %at.finished = getelementptr inbounds i8, ptr %sync, i64 256
  %finished = load atomic i32, ptr %at.finished acquire, align 4
  %over = icmp ne i32 %finished, 0
  br i1 %over, label %done, label %on
done:
  ret i32 0
on:
  br i1 %late, label %unfinished, label %wait
unfinished:
  ret i32 1
wait:
  call void @gn_wait(ptr %sync, i32 %seen, i32 SPINS, i1 %naps)
  %later = call i1 @gn_late(i64 %deadline)
  br i1 %later, label %unfinished, label %look
}

; All of a table, or what is left of it, by the caller alone.
define internal i32 @gn_alone(ptr %table, i64 %deadline) {
entry:
  %count = load i64, ptr %table, align 8
  %at.phase = getelementptr inbounds i64, ptr %table, i64 2
  %at.unit = getelementptr inbounds i64, ptr %table, i64 3
  %phase = load i64, ptr %at.phase, align 8
  %unit = load i64, ptr %at.unit, align 8
  br label %look
look:
  %p = phi i64 [ %phase, %entry ], [ %p.now, %did ]
  %u = phi i64 [ %unit, %entry ], [ %u.now, %did ]
  %ends = icmp uge i64 %p, %count
  br i1 %ends, label %done, label %do
done:
  ret i32 0
do:
  call void @gn_unit(ptr %table, i64 %p, i64 %u)
  %units = call i64 @gn_units(ptr %table, i64 %p)
  %u.next = add i64 %u, 1
  %p.next = add i64 %p, 1
  %last = icmp eq i64 %u.next, %units
  %u.now = select i1 %last, i64 0, i64 %u.next
  %p.now = select i1 %last, i64 %p.next, i64 %p
  br label %did
did:
  %late = call i1 @gn_late(i64 %deadline)
  br i1 %late, label %pause, label %look
pause:
  store i64 %p.now, ptr %at.phase, align 8
  store i64 %u.now, ptr %at.unit, align 8
  ret i32 1
}

; Go on with a call that came back unfinished.
define i32 @gn_resume(ptr %call) {
entry:
  %at.nanoseconds = getelementptr inbounds i64, ptr %call, i64 3
  %nanoseconds = load i64, ptr %at.nanoseconds, align 8
  %deadline = call i64 @gn_deadline(i64 %nanoseconds)
  %result = call i32 @gn_go(ptr %call, i64 %deadline)
  ret i32 %result
}

define internal i32 @gn_go(ptr %call, i64 %deadline) {
entry:
  %sync = load ptr, ptr %call, align 8
  %at.table = getelementptr inbounds i64, ptr %call, i64 1
  %table = load ptr, ptr %at.table, align 8
  %at.threads = getelementptr inbounds i64, ptr %call, i64 2
  %threads = load i64, ptr %at.threads, align 8
  %at.state = getelementptr inbounds i64, ptr %table, i64 1
  %state = load i64, ptr %at.state, align 8
  %alone = icmp eq i64 %state, 2
  br i1 %alone, label %single, label %shared
single:
  %single.left = call i32 @gn_alone(ptr %table, i64 %deadline)
  %single.more = icmp ne i32 %single.left, 0
  br i1 %single.more, label %unfinished, label %rest
shared:
  %left = call i32 @gn_join(ptr %sync, i64 %threads, i64 %deadline)
  %more = icmp ne i32 %left, 0
  br i1 %more, label %unfinished, label %free
unfinished:
  ret i32 1
free:
  %busy = getelementptr inbounds i8, ptr %sync, i64 64
  store atomic i32 0, ptr %busy release, align 4
  br label %rest
rest:
  store i64 0, ptr %at.state, align 8
  ret i32 0
}

; The caller's thread: hand the job out, and help. One that was left unfinished is cancelled first.
define i32 @gn_launch(ptr %call) {
entry:
  call void @gn_cancel(ptr %call)
  %sync = load ptr, ptr %call, align 8
  %at.table = getelementptr inbounds i64, ptr %call, i64 1
  %table = load ptr, ptr %at.table, align 8
  %at.threads = getelementptr inbounds i64, ptr %call, i64 2
  %threads = load i64, ptr %at.threads, align 8
  %at.nanoseconds = getelementptr inbounds i64, ptr %call, i64 3
  %nanoseconds = load i64, ptr %at.nanoseconds, align 8
  %deadline = call i64 @gn_deadline(i64 %nanoseconds)
  %at.state = getelementptr inbounds i64, ptr %table, i64 1
  %alone = icmp eq i64 %threads, 1
  br i1 %alone, label %single, label %ask
ask:
  %busy = getelementptr inbounds i8, ptr %sync, i64 64
  %pair = cmpxchg ptr %busy, i32 0, i32 1 acq_rel monotonic
  %free = extractvalue { i32, i1 } %pair, 1
  br i1 %free, label %share, label %single
single:
  store i64 2, ptr %at.state, align 8
  %at.phase = getelementptr inbounds i64, ptr %table, i64 2
  %at.unit = getelementptr inbounds i64, ptr %table, i64 3
  store i64 0, ptr %at.phase, align 8
  store i64 0, ptr %at.unit, align 8
  br label %go
share:
  store i64 1, ptr %at.state, align 8
  %job = getelementptr inbounds i8, ptr %sync, i64 128
  store ptr %table, ptr %job, align 8
  call void @gn_arrive(ptr %sync)
  %finished = getelementptr inbounds i8, ptr %sync, i64 256
  store atomic i32 0, ptr %finished monotonic, align 4
  %cancelled = getelementptr inbounds i8, ptr %sync, i64 320
  store atomic i32 0, ptr %cancelled monotonic, align 4
  call void @gn_proceed(ptr %sync, ptr %table, i64 0, i64 0, i64 %threads, i64 %deadline)
  br label %go
go:
  %result = call i32 @gn_go(ptr %call, i64 %deadline)
  ret i32 %result
}

; End a call that came back unfinished: when this returns, no thread works for it any more.
define void @gn_cancel(ptr %call) {
entry:
  %sync = load ptr, ptr %call, align 8
  %at.table = getelementptr inbounds i64, ptr %call, i64 1
  %table = load ptr, ptr %at.table, align 8
  %at.state = getelementptr inbounds i64, ptr %table, i64 1
  %state = load i64, ptr %at.state, align 8
  %shared = icmp eq i64 %state, 1
  br i1 %shared, label %stop, label %rest
stop:
  %cancelled = getelementptr inbounds i8, ptr %sync, i64 320
  store atomic i32 1, ptr %cancelled release, align 4
  %at.threads = getelementptr inbounds i64, ptr %call, i64 2
  %threads = load i64, ptr %at.threads, align 8
  %left = call i32 @gn_join(ptr %sync, i64 %threads, i64 0)
  %busy = getelementptr inbounds i8, ptr %sync, i64 64
  store atomic i32 0, ptr %busy release, align 4
  br label %rest
rest:
  store i64 0, ptr %at.state, align 8
  ret void
}

; A worker's whole life.
define void @gn_work(ptr %sync, i64 %number, i64 %threads) {
entry:
  br label %next
next:
  %seen = load atomic i32, ptr %sync acquire, align 4
  %late = call i1 @gn_help(ptr %sync, i64 %number, i64 %threads, i64 0)
  call void @gn_wait(ptr %sync, i32 %seen, i32 LONGER, i1 false)
  call void @gn_step_aside(ptr %sync)
  br label %next
}
"""
