import type { Clock } from '../../lib/clock.ts'
import type { EtcdEndpoint } from '../../lib/etcd.ts'
import type { Log } from '../../lib/log.ts'
import { Backoff } from '../../lib/backoff.ts'
import { delay } from '../../lib/clock.ts'
import { describeError } from '../../lib/errors.ts'
import { EtcdError } from '../../lib/etcd.ts'
import { EtcdSession } from '../../lib/etcd-session.ts'

const PING_MS = 5000

export interface SessionOptions {
  readonly endpoint: EtcdEndpoint
  readonly clock: Clock
  /** Ends the session that stands, with its reason. */
  readonly signal: AbortSignal
}

export interface KeptSessionOptions extends SessionOptions {
  readonly random: () => number
  readonly log: Log
  /** Between the end of a session and the next one: whatever happened meanwhile, nobody saw it. */
  readonly onLost: () => void
}

/** Hands each of one session after the other to `use`, which rejects when its session ends. Resolves once stopped. */
export async function keepSession(
  options: KeptSessionOptions,
  use: (session: EtcdSession) => Promise<never>,
): Promise<void> {
  const { clock, random, log, signal, onLost } = options
  const backoff = new Backoff({ baseMs: 250, maxMs: 5000, random })
  while (!signal.aborted) {
    try {
      await withSession(options, use, () => backoff.reset())
    } catch (error) {
      if (signal.aborted) return
      log.warn({ err: error }, `connection to etcd ended: ${describeError(error)}`)
    }
    await delay(clock, backoff.next(), signal).catch(() => undefined) // stopped: the loop ends
    onLost()
  }
}

/** Opens a session for as long as `use` takes. */
export async function withSession<T>(
  { endpoint, clock, signal }: SessionOptions,
  use: (session: EtcdSession) => Promise<T>,
  onAlive: () => void = () => undefined,
): Promise<T> {
  const session = new EtcdSession({ endpoint, clock, pingMs: PING_MS, onAlive })
  const onStop = (): void => session.close(signal.reason as Error)
  if (signal.aborted) onStop()
  signal.addEventListener('abort', onStop, { once: true })
  try {
    return await use(session)
  } finally {
    signal.removeEventListener('abort', onStop)
    session.close(new EtcdError('etcd-closed', 'session closed'))
  }
}
