"""What native code needs at run time: threads that walk through a step together, written in LLVM's assembly.

A step is a table of phases; a phase is a few kernels between which no thread has to wait, cut into units. Each thread
has a share of the units, claims them one by one from the front, and when it has none left takes those of others from
the back. A phase is over when all its units are done, whoever did them: a thread that the system lets wait holds up
nothing but the unit that it is at. Chunks, which fix all sums, are never divided: the bits do not depend on who does
them.

`sync` is one block of memory that all threads share, each field on a cache line of its own:
  0 changes: goes up by one when there is something new to do or to know, and beside it how many sleep until it does
  64 busy: 1 while a job runs
  128 job: the table of the step that is run
  192 done: units of the phase that are done
  256 finished: 1 once all phases are done
  320 cancelled: 1 where what is left shall not be done
  384 and on, a line a thread: (phase << 32) + (end << 16) + first: the units of its share that nobody has claimed
A table is 8 words {phases, state, phase, unit, address of the records}, then {first record, end, units, 0} for each
phase, then the records {function, addresses of its buffers, chunks, 0}. State: 0 at rest, 1 run by all threads, 2 by
its caller alone, who found the threads busy with another's job and is at `unit` of `phase`.
"""

from __future__ import annotations

from graphnet.backend.native.waiting import waiting

LINE = 64  # bytes of a cache line
FINISHED, SHARES = 256, 384  # where in `sync`
MOST_UNITS = (1 << 16) - 1


def runtime() -> str:
    """The module of gn_launch(call), gn_resume(call), gn_cancel(call) and gn_work(sync, number, threads).

    A call is four words: {sync, table, threads, nanoseconds after which to come back with 1, unfinished; 0: never}.
    """
    return waiting() + _UNITS + _CALLS


_UNITS = """
; Where the part that begins with `number` of `parts` begins in `size`: rounded up, so that 1 is the first one's.
define internal i64 @gn_cut(i64 %number, i64 %size, i64 %parts) {
  %a = mul i64 %number, %size
  %up = add i64 %a, %parts
  %less = sub i64 %up, 1
  %at = udiv i64 %less, %parts
  ret i64 %at
}

; The address of a phase: {first record, end, units, 0}.
define internal ptr @gn_phase(ptr %table, i64 %phase) {
  %word = mul i64 %phase, 4
  %place = add i64 %word, 8
  %at = getelementptr inbounds i64, ptr %table, i64 %place
  ret ptr %at
}

define internal i64 @gn_units(ptr %table, i64 %phase) {
  %at = call ptr @gn_phase(ptr %table, i64 %phase)
  %at.units = getelementptr inbounds i64, ptr %at, i64 2
  %units = load i64, ptr %at.units, align 8
  ret i64 %units
}

; One unit of a phase: its part of the chunks of each kernel.
define internal void @gn_unit(ptr %table, i64 %phase, i64 %unit) {
entry:
  %at = call ptr @gn_phase(ptr %table, i64 %phase)
  %first = load i64, ptr %at, align 8
  %at.end = getelementptr inbounds i64, ptr %at, i64 1
  %end = load i64, ptr %at.end, align 8
  %at.units = getelementptr inbounds i64, ptr %at, i64 2
  %units = load i64, ptr %at.units, align 8
  %at.records = getelementptr inbounds i64, ptr %table, i64 4
  %records = load ptr, ptr %at.records, align 8
  %next = add i64 %unit, 1
  br label %record
record:
  %n = phi i64 [ %first, %entry ], [ %n.next, %over ]
  %word = mul i64 %n, 4
  %of = getelementptr inbounds i64, ptr %records, i64 %word
  %of.chunks = getelementptr inbounds i64, ptr %of, i64 2
  %chunks = load i64, ptr %of.chunks, align 8
  %from = call i64 @gn_cut(i64 %unit, i64 %chunks, i64 %units)
  %to = call i64 @gn_cut(i64 %next, i64 %chunks, i64 %units)
  %some = icmp ult i64 %from, %to
  br i1 %some, label %run, label %over
run:
  %function = load ptr, ptr %of, align 8
  %of.addresses = getelementptr inbounds i64, ptr %of, i64 1
  %addresses = load ptr, ptr %of.addresses, align 8
  call void %function(ptr %addresses, i64 %from, i64 %to)
  br label %over
over:
  %n.next = add i64 %n, 1
  %again = icmp ult i64 %n.next, %end
  br i1 %again, label %record, label %done
done:
  ret void
}

; A unit that nobody has claimed, as (phase << 32) + unit; -1 where there is none. What comes back belongs to the job
; that runs: it cannot be over before this unit is done.
define internal i64 @gn_claim(ptr %sync, i64 %thread, i64 %threads) {
entry:
  br label %share
share:
  %k = phi i64 [ 0, %entry ], [ %k.next, %next ]
  %t.far = add i64 %thread, %k
  %t.less = sub i64 %t.far, %threads
  %wraps = icmp uge i64 %t.far, %threads
  %t = select i1 %wraps, i64 %t.less, i64 %t.far
  %line = mul i64 %t, 64
  %offset = add i64 %line, 384
  %at = getelementptr inbounds i8, ptr %sync, i64 %offset
  %seen = load atomic i64, ptr %at acquire, align 8
  %own = icmp eq i64 %k, 0
  br label %look
look:
  %word = phi i64 [ %seen, %share ], [ %word.now, %claim ]
  %first = and i64 %word, 65535
  %end.up = lshr i64 %word, 16
  %end = and i64 %end.up, 65535
  %some = icmp ult i64 %first, %end
  br i1 %some, label %claim, label %next
claim:
  %ahead = add i64 %word, 1
  %behind = sub i64 %word, 65536
  %left = select i1 %own, i64 %ahead, i64 %behind
  %last = sub i64 %end, 1
  %unit = select i1 %own, i64 %first, i64 %last
  %pair = cmpxchg ptr %at, i64 %word, i64 %left acq_rel acquire
  %word.now = extractvalue { i64, i1 } %pair, 0
  %got = extractvalue { i64, i1 } %pair, 1
  br i1 %got, label %mine, label %look
mine:
  %phase = and i64 %word, -4294967296
  %claimed = or i64 %phase, %unit
  ret i64 %claimed
next:
  %k.next = add i64 %k, 1
  %more = icmp ult i64 %k.next, %threads
  br i1 %more, label %share, label %none
none:
  ret i64 -1
}

; Offer a phase to all threads. The first share, which is never empty, comes last: before, the phase cannot be over, so
; nobody else offers the next one.
define internal void @gn_offer(ptr %sync, ptr %table, i64 %phase, i64 %threads) {
entry:
  %done = getelementptr inbounds i8, ptr %sync, i64 192
  store atomic i64 0, ptr %done monotonic, align 8
  %units = call i64 @gn_units(ptr %table, i64 %phase)
  %tag = shl i64 %phase, 32
  br label %share
share:
  %t.next = phi i64 [ %threads, %entry ], [ %t, %share ]
  %t = sub i64 %t.next, 1
  %first = call i64 @gn_cut(i64 %t, i64 %units, i64 %threads)
  %end = call i64 @gn_cut(i64 %t.next, i64 %units, i64 %threads)
  %end.up = shl i64 %end, 16
  %both = or i64 %end.up, %first
  %word = or i64 %both, %tag
  %line = mul i64 %t, 64
  %offset = add i64 %line, 384
  %at = getelementptr inbounds i8, ptr %sync, i64 %offset
  store atomic i64 %word, ptr %at release, align 8
  %more = icmp ne i64 %t, 0
  br i1 %more, label %share, label %over
over:
  call void @gn_advance(ptr %sync)
  ret void
}

; What comes after a phase. Phases of a single unit are done right here; the next larger one is offered to all.
define internal void @gn_proceed(ptr %sync, ptr %table, i64 %phase, i64 %thread, i64 %threads, i64 %deadline) {
entry:
  %count = load i64, ptr %table, align 8
  br label %look
look:
  %p = phi i64 [ %phase, %entry ], [ %p.next, %alone ]
  %at.cancelled = getelementptr inbounds i8, ptr %sync, i64 320
  %cancelled = load atomic i32, ptr %at.cancelled acquire, align 4
  %stops = icmp ne i32 %cancelled, 0
  %ends = icmp uge i64 %p, %count
  %over = or i1 %stops, %ends
  br i1 %over, label %finish, label %next
next:
  %units = call i64 @gn_units(ptr %table, i64 %p)
  %single = icmp eq i64 %units, 1
  br i1 %single, label %small, label %offer
small:
  %late = call i1 @gn_late(i64 %deadline)
  br i1 %late, label %offer, label %alone
alone:
  call void @gn_unit(ptr %table, i64 %p, i64 0)
  %p.next = add i64 %p, 1
  br label %look
offer:
  call void @gn_offer(ptr %sync, ptr %table, i64 %p, i64 %threads)
  ret void
finish:
  %finished = getelementptr inbounds i8, ptr %sync, i64 256
  store atomic i32 1, ptr %finished release, align 4
  %callers = icmp eq i64 %thread, 0
  br i1 %callers, label %known, label %tell
tell:
  call void @gn_advance(ptr %sync)
  ret void
known: ; it is the caller alone who waits for the end
  ret void
}

; Do what can be claimed. Returns whether the deadline passed meanwhile.
define internal i1 @gn_help(ptr %sync, i64 %thread, i64 %threads, i64 %deadline) {
entry:
  br label %begin
begin:
  %some = call i64 @gn_claim(ptr %sync, i64 %thread, i64 %threads)
  %none = icmp eq i64 %some, -1
  br i1 %none, label %idle, label %run
idle:
  ret i1 false
run:
  %claimed = phi i64 [ %some, %begin ], [ %another, %ask ]
  %before = phi i64 [ 0, %begin ], [ %n, %ask ]
  %job = getelementptr inbounds i8, ptr %sync, i64 128
  %table = load ptr, ptr %job, align 8
  %phase = lshr i64 %claimed, 32
  %unit = and i64 %claimed, 4294967295
  %at.cancelled = getelementptr inbounds i8, ptr %sync, i64 320
  %cancelled = load atomic i32, ptr %at.cancelled acquire, align 4
  %skip = icmp ne i32 %cancelled, 0
  br i1 %skip, label %did, label %do
do:
  call void @gn_unit(ptr %table, i64 %phase, i64 %unit)
  br label %did
did:
  %n = add i64 %before, 1
  %late = call i1 @gn_late(i64 %deadline)
  br i1 %late, label %count, label %ask
ask:
  %another = call i64 @gn_claim(ptr %sync, i64 %thread, i64 %threads)
  %all = icmp eq i64 %another, -1
  br i1 %all, label %count, label %run
count:
  %done = getelementptr inbounds i8, ptr %sync, i64 192
  %old = atomicrmw add ptr %done, i64 %n acq_rel
  %now = add i64 %old, %n
  %units = call i64 @gn_units(ptr %table, i64 %phase)
  %last = icmp eq i64 %now, %units
  br i1 %last, label %proceed, label %counted
proceed:
  %next = add i64 %phase, 1
  call void @gn_proceed(ptr %sync, ptr %table, i64 %next, i64 %thread, i64 %threads, i64 %deadline)
  br label %counted
counted:
  %on = xor i1 %late, true
  %again = and i1 %last, %on
  br i1 %again, label %begin, label %return
return:
  ret i1 %late
}
"""

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
  call void @gn_wait(ptr %sync, i32 %seen, i1 %naps)
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
  call void @gn_wait(ptr %sync, i32 %seen, i1 false)
  br label %next
}
"""
