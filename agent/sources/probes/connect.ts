import { connect } from 'node:net'
import type { Clock } from '../../lib/clock.ts'
import type { Evidence, ProbeTarget } from './evidence.ts'
import { formatAddress } from '../../types/address.ts'

/** A timer that comes this late says that this process was busy: the answer may lie unread. */
const LATE_MS = 200

const SILENT: ReadonlySet<string> = new Set(['ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ECONNRESET'])

/** Opens a connection, sends nothing, and ends it with a reset, which leaves no port waiting on either side. Never rejects. */
export function probe(target: ProbeTarget, timeoutMs: number, clock: Clock): Promise<Evidence> {
  return new Promise((resolve) => {
    const due = clock.now() + timeoutMs
    const socket = connect({ host: formatAddress(target.address), port: target.port })
    const done = (evidence: Evidence): void => {
      cancel()
      socket.resetAndDestroy()
      resolve(evidence)
    }
    const cancel = clock.after(timeoutMs, () => done(clock.now() - due > LATE_MS ? 'nothing' : 'silent'))
    socket.once('connect', () => done('answers'))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? ''
      done(code === 'ECONNREFUSED' ? 'refused' : SILENT.has(code) ? 'silent' : 'nothing')
    })
  })
}
