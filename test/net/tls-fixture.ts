import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CertificateRequest } from '../../agent/pki/kinds.ts'
import { createCa, issueCertificate } from '../../agent/pki/issue.ts'
import { profileOf } from '../../agent/pki/kinds.ts'
import { readSigner, writeNewCa, writePair } from '../../agent/pki/store.ts'
import { EtcdProcess } from './etcd.ts'

/** Files of a TLS client. */
export interface ClientFiles {
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

/** A CA and its certificates in a directory of their own. */
export class TestPki {
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  static async create(name?: string, from = new Date()): Promise<TestPki> {
    const directory = await mkdtemp(join(tmpdir(), `weft-pki-${process.pid}-`))
    await writeNewCa(directory, await createCa({ ...(name === undefined ? {} : { name }), now: from }))
    return new TestPki(directory)
  }

  get caFile(): string {
    return join(this.directory, 'ca.crt')
  }

  /** Issues and writes; `from` and `lifetimeMs` make certificates that are due or over. */
  async issue(request: CertificateRequest, life: { from?: Date; lifetimeMs?: number } = {}): Promise<ClientFiles> {
    const profile = profileOf(request)
    const pair = await issueCertificate({
      ca: await readSigner(this.directory),
      profile,
      now: life.from ?? new Date(),
      ...(life.lifetimeMs === undefined ? {} : { lifetimeMs: life.lifetimeMs }),
    })
    await writePair(this.directory, profile.file, pair)
    return this.files(profile.file)
  }

  files(name: string): ClientFiles {
    return {
      caFile: this.caFile,
      certFile: join(this.directory, `${name}.crt`),
      keyFile: join(this.directory, `${name}.key`),
    }
  }

  /** An etcd of cluster `cluster` that demands certificates of this CA. */
  async startEtcd(
    cluster: string,
    server: Partial<CertificateRequest> = {},
    host?: string,
    address = '127.0.0.1',
  ): Promise<EtcdProcess> {
    const { certFile, keyFile } = await this.issue({ kind: 'server', ...server })
    const client = await this.issue({ kind: 'admin', cluster })
    const tls = { caFile: this.caFile, certFile, keyFile, client, ...(host === undefined ? {} : { host }) }
    return EtcdProcess.start(address, tls)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** The content of a cluster's configuration file. */
export function clusterFile(url: string, files: Partial<ClientFiles>): string {
  const lines = [`endpoints:\n- ${url}`]
  if (files.caFile !== undefined) lines.push(`trusted-ca-file: ${files.caFile}`)
  if (files.certFile !== undefined) lines.push(`cert-file: ${files.certFile}`)
  if (files.keyFile !== undefined) lines.push(`key-file: ${files.keyFile}`)
  return `${lines.join('\n')}\n`
}
