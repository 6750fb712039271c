"""Phases of a step and their units, in LLVM's assembly: threads offer them to one another, claim them and do them.

The memory that threads share is described in `runtime.py`.
"""

from __future__ import annotations


def units() -> str:
    """The functions gn_help(sync, thread, threads, deadline) and gn_proceed(sync, table, phase, thread, ...)."""
    return _UNITS


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
