import type { ChildProcess } from 'node:child_process'

export function runs(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

/** Waits until a process has ended. */
export async function ended(child: ChildProcess): Promise<void> {
  if (runs(child)) await new Promise((resolve) => child.once('exit', resolve))
}

/** Ends a process, if it still runs, and waits until it has. */
export async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (runs(child)) child.kill(signal)
  await ended(child)
}

/** Waits until a process says something on its stdout, which is that it is ready. Rejects when it ends before. */
export async function speaks(child: ChildProcess, what: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve())
    child.once('exit', (code, signal) => reject(new Error(`${what} ended with ${String(code ?? signal)}`)))
    child.once('error', reject)
  })
}
