"""Where threads run, in LLVM's assembly: a worker leaves the processor of the thread that waits for it.

A system wakes a thread where its waker runs if it takes no other processor for idle, which in virtual machines is the
rule: the two then take turns on one processor, and the second thread brings nothing.
"""

from __future__ import annotations

import platform

_CALLS = {"x86_64": (203, 204), "aarch64": (122, 123)}  # sched_setaffinity, sched_getaffinity
_BYTES = 128  # of a set of processors: 1,024 of them


def processors() -> str:
    """The functions gn_arrive(sync) of a caller and gn_step_aside(sync) of a worker."""
    set_, get = _CALLS[platform.machine()]
    return _PROCESSORS.format(set=set_, get=get, bytes=_BYTES, words=_BYTES // 8, bits=_BYTES * 8)


_PROCESSORS = """
declare i32 @sched_getcpu()
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

; Note which processor a caller runs on.
define internal void @gn_arrive(ptr %sync) {{
  %at = getelementptr inbounds i8, ptr %sync, i64 136
  %own = call i32 @sched_getcpu()
  store atomic i32 %own, ptr %at monotonic, align 4
  ret void
}}

; Move to another processor, if this is the caller's. Where there is but one, the system refuses the set without it.
define internal void @gn_step_aside(ptr %sync) {{
entry:
  %all = alloca [{words} x i64], align 8
  %others = alloca [{words} x i64], align 8
  %at.callers = getelementptr inbounds i8, ptr %sync, i64 136
  %callers = load atomic i32, ptr %at.callers monotonic, align 4
  %own = call i32 @sched_getcpu()
  %beside = icmp eq i32 %own, %callers
  %known = icmp ult i32 %own, {bits}
  %moves = and i1 %beside, %known
  br i1 %moves, label %ask, label %done
ask: ; how many bytes of the set were written comes back, or an error, below 0
  %size = call i64 (i64, ...) @syscall(i64 {get}, i64 0, i64 {bytes}, ptr %all)
  %some = icmp sgt i64 %size, 0
  br i1 %some, label %move, label %done
move:
  call void @llvm.memcpy.p0.p0.i64(ptr %others, ptr %all, i64 {bytes}, i1 false)
  %index = lshr i32 %own, 6
  %shift = and i32 %own, 63
  %far = zext i32 %shift to i64
  %bit = shl i64 1, %far
  %rest = xor i64 %bit, -1
  %at = getelementptr inbounds i64, ptr %others, i32 %index
  %old = load i64, ptr %at, align 8
  %new = and i64 %old, %rest
  store i64 %new, ptr %at, align 8
  %a = call i64 (i64, ...) @syscall(i64 {set}, i64 0, i64 %size, ptr %others)
  %b = call i64 (i64, ...) @syscall(i64 {set}, i64 0, i64 %size, ptr %all)
  br label %done
done:
  ret void
}}
"""
