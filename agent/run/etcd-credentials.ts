import type { Clock } from '../lib/clock.ts'
import type { EtcdEndpoint } from '../lib/etcd.ts'
import type { Log } from '../lib/log.ts'
import type { ClusterCertificate } from '../types/cluster.ts'
import type { Problem } from '../types/problem.ts'
import { credentialFiles, CredentialWatch } from '../pki/credentials.ts'

export interface EtcdCredentialsOptions {
  /** For people: whose etcd. */
  readonly who: string
  readonly clock: Clock
  readonly log: Log
  /** The whole list, whenever it changes. */
  readonly onProblems: (problems: readonly Problem[]) => void
}

/**
 * How the certificates of the connection to an etcd stand. A renewed one counts with the next connection; one that is not
 * renewed is told while there is time.
 */
export class EtcdCredentials {
  readonly #options: EtcdCredentialsOptions
  #watch: CredentialWatch | undefined
  #certificates: readonly ClusterCertificate[] = []
  #stopping: Promise<unknown> = Promise.resolve()

  constructor(options: EtcdCredentialsOptions) {
    this.#options = options
  }

  /** Empty without TLS. */
  get certificates(): readonly ClusterCertificate[] {
    return this.#certificates
  }

  /** Watches the files of `endpoint` from now on, and no longer those of the one before. */
  follow(endpoint: EtcdEndpoint): void {
    void this.stop()
    this.#report([], [])
    const files = credentialFiles(endpoint)
    if (files === undefined) return
    const { who, clock, log } = this.#options
    const watch = new CredentialWatch({
      ...{ who, files, servers: endpoint.endpoints, clock },
      onReport: (reports, problems) => {
        if (watch === this.#watch) this.#report(reports, problems)
      },
      onRotated: () => log.info({}, `other credentials for ${who}: used from the next connection on`),
    })
    this.#watch = watch
    watch.start()
  }

  /** As `stop`; nothing is said about the certificates any more. */
  async end(): Promise<void> {
    await this.stop()
    this.#report([], [])
  }

  stop(): Promise<unknown> {
    const watch = this.#watch
    this.#watch = undefined
    return (this.#stopping = Promise.all([this.#stopping, watch?.stop()]))
  }

  #report(certificates: readonly ClusterCertificate[], problems: readonly Problem[]): void {
    const { who, log, onProblems } = this.#options
    this.#certificates = certificates
    if (certificates.length > 0) log.info({ certificates }, `credentials for ${who}`)
    for (const { code, message, hint } of problems) log.warn({ code, hint }, message)
    onProblems(problems)
  }
}
