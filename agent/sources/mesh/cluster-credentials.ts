import type { Clock } from '../../lib/clock.ts'
import { describeError, hintOf } from '../../lib/errors.ts'
import type { EtcdEndpoint } from '../../lib/etcd.ts'
import { EtcdError } from '../../lib/etcd.ts'
import { explainTls } from '../../lib/tls-errors.ts'
import { EtcdSession } from '../../lib/etcd-session.ts'
import type { Log } from '../../lib/log.ts'
import { credentialFiles, CredentialWatch } from '../../pki/credentials.ts'
import type { Writer } from '../../state/writer.ts'
import type { ClusterCertificate } from '../../types/cluster.ts'
import { HEARTBEAT_KEY } from '../../types/wire/keys.ts'

/** Code of the reason a session ends with when the next one is to use other certificates. */
export const RENEWED = 'etcd-renewed'

/** Renewed certificates are put into use within this time, each node at a moment of its own. */
const ROTATE_WITHIN_MS = 30_000

export interface CredentialTiming {
  /** How often the files are looked at; default 5 s. */
  readonly lookMs?: number
  readonly rotateWithinMs?: number
}

export interface ClusterCredentialsOptions extends CredentialTiming {
  readonly name: string
  readonly writer: Writer
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  /** The connection in use. */
  readonly session: () => EtcdSession | undefined
  readonly publish: (certificates: readonly ClusterCertificate[]) => void
}

/**
 * Certificates of the connection to one cluster: says how they stand, and puts replaced ones into use by one reconnect, after
 * having tried them. A connection that works is never given up for credentials that do not.
 */
export class ClusterCredentials {
  readonly #options: ClusterCredentialsOptions
  #watch: CredentialWatch | undefined
  #endpoint: EtcdEndpoint | undefined
  #trial: EtcdSession | undefined
  #cancel: () => void = () => undefined
  #stopping: Promise<void> = Promise.resolve()

  constructor(options: ClusterCredentialsOptions) {
    this.#options = options
  }

  /** Follows the files of `endpoint` from now on, and no longer those of the one before. */
  follow(endpoint: EtcdEndpoint): void {
    void this.stop()
    const { name, writer, clock, lookMs, publish } = this.#options
    const files = credentialFiles(endpoint)
    this.#endpoint = endpoint
    if (files === undefined) {
      this.forget()
      return
    }
    this.#watch = new CredentialWatch({
      who: `cluster ${name}`,
      files,
      servers: endpoint.endpoints,
      clock,
      lookMs,
      onReport: (reports, problems) => {
        publish(reports)
        writer.setProblems(this.#origin, problems)
      },
      onRotated: () => this.#rotate(),
    })
    this.#watch.start()
  }

  /** Nothing is said about certificates any more. */
  forget(): void {
    this.#options.writer.setProblems(this.#origin, [])
    this.#options.writer.setProblems(this.#trialOrigin, [])
  }

  stop(): Promise<void> {
    this.#cancel()
    this.#trial?.close(new EtcdError('stopped', 'stopped'))
    const watch = this.#watch
    this.#watch = undefined
    return (this.#stopping = Promise.all([this.#stopping, watch?.stop()]).then(() => undefined))
  }

  #rotate(): void {
    const { clock, random, rotateWithinMs, session, log } = this.#options
    const old = session()
    this.#cancel()
    // Whoever has no connection makes one with the new files anyway.
    if (old === undefined) return
    log.info({}, 'certificates were replaced')
    this.#cancel = clock.after(random() * (rotateWithinMs ?? ROTATE_WITHIN_MS), () => {
      if (session() !== old) return
      this.#try(old).catch((error: unknown) => log.error({ err: error }, 'replaced certificates could not be tried'))
    })
  }

  async #try(old: EtcdSession): Promise<void> {
    const { clock, writer, log, name } = this.#options
    try {
      const trial = new EtcdSession({ endpoint: this.#endpoint!, clock, pingMs: 5000, onAlive: () => undefined })
      this.#trial = trial
      try {
        await Promise.race([trial.get(HEARTBEAT_KEY), trial.failure])
      } finally {
        trial.close(new EtcdError('etcd-closed', 'tried'))
      }
    } catch (cause) {
      const error = explainTls(cause)
      if (this.#watch === undefined) return
      const message = `cluster ${name} refuses the replaced certificates: ${describeError(error)}`
      const hint = hintOf(error) ?? 'the connection made with the earlier ones stays in use; correct the files'
      log.warn({ err: error }, message)
      writer.setProblems(this.#trialOrigin, [{ code: 'mesh-certificate-refused', message, hint }])
      return
    }
    writer.setProblems(this.#trialOrigin, [])
    old.close(new EtcdError(RENEWED, 'certificates were replaced'))
  }

  get #origin(): string {
    return `mesh/${this.#options.name}/certificates`
  }

  get #trialOrigin(): string {
    return `mesh/${this.#options.name}/certificates-tried`
  }
}
