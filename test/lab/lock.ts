import { spawnSync } from 'node:child_process'
import { closeSync, fstatSync, openSync, rmSync, statSync } from 'node:fs'
import { LabError } from './errors.ts'
import { isGone } from './process.ts'
import { say } from './progress.ts'

/**
 * One changer of a lab at a time. The lock is flock(2) on an open file: it belongs to the open file description, which
 * the flock command shares with us, and the kernel drops it when we die, however we die.
 */
export async function withLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const fd = acquire(file)
  try {
    return await work()
  } finally {
    rmSync(file, { force: true }) // removed while held: whoever waits on this inode sees that it is no longer the lock
    closeSync(fd)
  }
}

function acquire(file: string): number {
  for (;;) {
    const fd = openSync(file, 'a', 0o600)
    if (!flock(fd, ['--nonblock'])) {
      say(`waiting for another lab command that holds ${file}`)
      if (!flock(fd, ['--timeout', '120'])) {
        closeSync(fd)
        throw new LabError('locked', `another lab command has held ${file} for two minutes`, {
          hint: `see who: fuser -v ${file}`,
        })
      }
    }
    if (isSameFile(fd, file)) return fd
    closeSync(fd)
  }
}

function flock(fd: number, options: string[]): boolean {
  const done = spawnSync('flock', ['--exclusive', ...options, '3'], { stdio: ['ignore', 'inherit', 'inherit', fd] })
  if (done.error !== undefined)
    throw new LabError('missing-command', 'flock (util-linux) could not be run', { cause: done.error })
  return done.status === 0
}

function isSameFile(fd: number, file: string): boolean {
  try {
    return statSync(file).ino === fstatSync(fd).ino
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}
