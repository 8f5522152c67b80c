import { connect } from 'node:net'
import type { Clock } from '../../lib/clock.ts'
import type { Evidence, ProbeTarget } from './evidence.ts'
import { formatAddress } from '../../types/address.ts'

const SILENT: ReadonlySet<string> = new Set(['ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ECONNRESET'])

/**
 * Opens a connection, sends nothing, and ends it with a reset, which leaves no port waiting on either side. Never rejects.
 *
 * A process that is busy runs its timers late, and before it reads what came meanwhile: an answer that lies unread is still
 * taken. That the timer was late says nothing about the other side otherwise, or no dead backend would be left on a busy node.
 */
export function probe(target: ProbeTarget, timeoutMs: number, clock: Clock): Promise<Evidence> {
  return new Promise((resolve) => {
    const socket = connect({ host: formatAddress(target.address), port: target.port })
    let over = false
    const done = (evidence: Evidence): void => {
      if (over) return
      over = true
      cancel()
      // One that is still connecting is simply given up; its reset would wait for the answer.
      if (evidence === 'answers') socket.resetAndDestroy()
      else socket.destroy()
      resolve(evidence)
    }
    const cancel = clock.after(timeoutMs, () => setImmediate(done, 'silent'))
    socket.once('connect', () => done('answers'))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? ''
      done(code === 'ECONNREFUSED' ? 'refused' : SILENT.has(code) ? 'silent' : 'nothing')
    })
  })
}
