import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { BpfError, Errno } from './errors.ts'
import { FdOwner } from './fd.ts'
import { native } from './libbpf.ts'

const LOCK_EX = 2
const LOCK_NB = 4

/**
 * Exclusive lock on a directory (flock(2)), a bpffs one too. The kernel drops it when its holder ends, however that
 * happens, and child programs do not inherit it: no stale lock is possible.
 */
export class DirectoryLock extends FdOwner {
  private constructor(fd: number, path: string) {
    super(fd, path)
  }

  /** BPF_BUSY with the holder's pid when somebody has it; it does not wait. */
  static take(path: string): DirectoryLock {
    const fd = openSync(path, 'r')
    if (native().flock.int(fd, LOCK_EX | LOCK_NB) === 0) return new DirectoryLock(fd, path)
    const errno = native().errno()
    closeSync(fd)
    if (errno !== Errno.EAGAIN) throw new BpfError({ fn: 'flock', errno, subject: path })
    const holder = lockHolder(path)
    throw new BpfError({
      fn: 'flock',
      code: 'BPF_BUSY',
      subject: path,
      reason: holder === undefined ? 'locked by another process' : `locked by process ${holder}`,
    })
  }
}

/** Who holds the flock of a file, as /proc/locks tells; undefined when nobody does, or it is in another pid namespace. */
function lockHolder(path: string): number | undefined {
  const inode = String(statSync(path).ino)
  for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
    const [, kind, , , pid, where = ''] = line.trim().split(/\s+/)
    if (kind === 'FLOCK' && where.split(':')[2] === inode && Number(pid) > 0) return Number(pid)
  }
  return undefined
}
