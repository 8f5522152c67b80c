import type { Clock } from '../lib/clock.ts'
import type { Address } from '../types/address.ts'
import type { NetworkNamespace } from './network-namespaces.ts'

/** A backend that no service has any more. */
export interface GoneBackend {
  readonly address: Address
  readonly port: number
  readonly protocol: number
}

/** A connected socket. */
export interface StaleSocket {
  readonly destination: number
  readonly destinationPort: number
}

/** Sockets of one network namespace. */
export interface SocketTable<S extends StaleSocket> {
  /** Connected ones of a protocol to a port. */
  list(protocol: number, port: number): readonly S[]
  /** False when it was gone already. */
  destroy(socket: S): boolean
  close(): void
}

export interface StaleSocketsOptions<S extends StaleSocket> {
  /** Namespaces whose sockets the programs translate, each once. */
  readonly namespaces: () => readonly NetworkNamespace[]
  /** Undefined when its path leads nowhere any more. */
  readonly open: (namespace: NetworkNamespace) => SocketTable<S> | undefined
  /** Whether a program sent this very socket to where it is connected. */
  readonly isTranslated: (socket: S) => boolean
  /** As things are now: whether nothing lives at an address any more. */
  readonly deserted: () => (address: Address) => boolean
  readonly clock: Clock
  readonly onDestroyed?: (count: number) => void
  readonly onError: (error: unknown) => void
}

/** One look at all namespaces, one after the other. */
interface Round {
  readonly backends: readonly GoneBackend[]
  left: NetworkNamespace[]
  /** Not to be reached by the process that they were found by. */
  readonly missed: Set<string>
}

const TCP = 6
const UDP = 17
/** Backends that go at one time share a look at all sockets. */
const GATHER_MS = 100
/** Looks take at most this part of the time. */
const SHARE = 0.2
/** A pod may outlive its place in the service: its TCP connections are looked at again for so long. */
const RECHECK_MS = 2000
const PATIENCE_MS = 60_000

/**
 * Ends sockets that were connected to a service and sent to a backend that is gone: nobody would answer them again, and their
 * owners would wait. UDP at once, for the next datagram may as well go to another backend; TCP only when nothing lives at the
 * address, for a connection may outlive the backend's place in the service.
 */
export class StaleSockets<S extends StaleSocket> {
  readonly #options: StaleSocketsOptions<S>
  #fresh: GoneBackend[] = []
  #waiting: { readonly backend: GoneBackend; readonly until: number }[] = []
  #round: Round | undefined
  #timer: { readonly cancel: () => void; readonly patient: boolean } | undefined
  #closed = false

  constructor(options: StaleSocketsOptions<S>) {
    this.#options = options
  }

  /** The last service let go of this backend. */
  gone(backend: GoneBackend): void {
    if (backend.protocol !== TCP && backend.protocol !== UDP) return
    this.#fresh.push(backend)
    if (this.#timer?.patient === true) this.#stop()
    this.#after(GATHER_MS)
  }

  close(): void {
    this.#closed = true
    this.#stop()
  }

  #stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #after(ms: number, patient = false): void {
    if (this.#closed || this.#timer !== undefined) return
    const run = (): void => {
      this.#timer = undefined
      this.#step()
    }
    this.#timer = { cancel: this.#options.clock.after(ms, run), patient }
  }

  #step(): void {
    const { clock, onError } = this.#options
    const start = clock.now()
    try {
      this.#round ??= this.#begin()
      const namespace = this.#round?.left.shift()
      if (this.#round !== undefined && namespace !== undefined) this.#look(this.#round, namespace)
      if (this.#round?.left.length === 0) this.#round = this.#again(this.#round)
    } catch (error) {
      // What ends sockets is a help to their owners; nothing else depends on it.
      onError(error)
      if (this.#round?.left.length === 0) this.#round = undefined
    }
    const took = clock.now() - start
    if (this.#round !== undefined) this.#after(took / SHARE)
    else if (this.#fresh.length > 0) this.#after(Math.max(GATHER_MS, took / SHARE))
    else if (this.#waiting.length > 0) this.#after(RECHECK_MS, true)
  }

  /** Undefined when no sockets are to be ended now. */
  #begin(): Round | undefined {
    const { clock, deserted, namespaces } = this.#options
    const now = clock.now()
    const fresh = this.#fresh
    this.#fresh = []
    const udp = fresh.filter(({ protocol }) => protocol === UDP)
    for (const backend of fresh) {
      if (backend.protocol === TCP) this.#waiting.push({ backend, until: now + PATIENCE_MS })
    }
    const isDeserted = this.#waiting.length > 0 ? deserted() : () => false
    const dead = this.#waiting.filter(({ backend }) => isDeserted(backend.address))
    this.#waiting = this.#waiting.filter((each) => each.until > now && !dead.includes(each))
    const backends = [...udp, ...dead.map(({ backend }) => backend)]
    return backends.length === 0 ? undefined : { backends, left: [...namespaces()], missed: new Set() }
  }

  /** The process may have ended by which a namespace was found, and others live on there. */
  #again(round: Round): Round | undefined {
    if (round.missed.size === 0) return undefined
    const left = this.#options.namespaces().filter(({ name }) => round.missed.has(name))
    return left.length === 0 ? undefined : { backends: round.backends, left, missed: new Set() }
  }

  #look(round: Round, namespace: NetworkNamespace): void {
    const table = this.#options.open(namespace)
    if (table === undefined) {
      round.missed.add(namespace.name)
      return
    }
    const wanted = new Set(round.backends.map(keyOf))
    const lists = new Map(round.backends.map(({ protocol, port }) => [`${protocol} ${port}`, { protocol, port }]))
    let count = 0
    try {
      for (const { protocol, port } of lists.values()) {
        for (const socket of table.list(protocol, port)) {
          const key = keyOf({ address: socket.destination as Address, port: socket.destinationPort, protocol })
          if (wanted.has(key) && this.#options.isTranslated(socket) && table.destroy(socket)) count++
        }
      }
    } finally {
      table.close()
      if (count > 0) this.#options.onDestroyed?.(count)
    }
  }
}

function keyOf({ address, port, protocol }: GoneBackend): string {
  return `${protocol} ${address} ${port}`
}
