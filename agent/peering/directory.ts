import { chmod, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import { WeftError } from '../lib/errors.ts'
import type { EtcdEndpoint } from '../lib/etcd.ts'
import { nearest } from '../lib/nearest.ts'
import { stagedName, writeStaged } from '../lib/staged-file.ts'
import { isClusterFile, parseClusterFile } from '../sources/mesh/config-file.ts'
import { JoinError } from './errors.ts'
import type { JoinFile } from './join-file.ts'
import { parseJoinFile } from './join-file.ts'

/**
 * The directory agents read remote clusters from, and what a join leaves in it:
 *
 * | file | what |
 * |---|---|
 * | `<cluster>` | etcd client configuration; the agent connects when it appears and drains when it goes |
 * | `<cluster>.etcd-client-ca.crt`, `.etcd-client.crt`, `.etcd-client.key` | what it names |
 * | `.weft/<cluster>.join` | the accepted join file without its key: later joins are compared with it, its CA is trusted |
 * | `.weft/own.join` | what this cluster exported last: later joins are compared with that, too |
 *
 * Agents pass over names that begin with a dot and files that name no endpoints.
 */
const RECORDS = '.weft'
const OWN = 'own.join'

/** A cluster of the directory. */
export interface Member {
  readonly name: string
  readonly path: string
  /** Or why the file cannot be used. */
  readonly endpoint: EtcdEndpoint | Error
}

/** Every file that names endpoints, by name. @throws JoinError `join-directory` when it cannot be read */
export async function readMembers(directory: string): Promise<readonly Member[]> {
  let entries
  try {
    entries = await readdir(directory, { withFileTypes: true })
  } catch (cause) {
    throw new JoinError('join-directory', `cannot read ${directory}`, {
      cause,
      hint: 'name the directory of the remote clusters with --clustermesh-config, or WEFT_CLUSTERMESH_CONFIG',
    })
  }
  const members: Member[] = []
  for (const entry of [...entries].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('.') || entry.isDirectory()) continue
    const path = join(directory, entry.name)
    const content = await readFile(path, 'utf8').catch((error: Error) => error)
    if (content instanceof Error) members.push({ name: entry.name, path, endpoint: content })
    else if (isClusterFile(content)) members.push({ name: entry.name, path, endpoint: endpointOf(path, content) })
  }
  return members
}

function endpointOf(path: string, content: string): EtcdEndpoint | Error {
  try {
    return parseClusterFile(path, content)
  } catch (error) {
    return error as Error
  }
}

/** The join files that were accepted, by cluster name; those that somebody damaged are left out. */
export async function readRecords(directory: string): Promise<ReadonlyMap<string, RecordedJoin>> {
  const names = await readdir(join(directory, RECORDS)).catch(() => [])
  const records = new Map<string, RecordedJoin>()
  for (const name of names.sort()) {
    if (!name.endsWith('.join') || name === OWN) continue
    const text = await readFile(join(directory, RECORDS, name), 'utf8')
    try {
      records.set(name.slice(0, -'.join'.length), JSON.parse(text) as RecordedJoin)
    } catch {
      // Known by its configuration file alone, as one that was written by hand.
    }
  }
  return records
}

/** What is kept of a join: no key in it, hence no signature that would hold. */
export interface RecordedJoin {
  readonly name: string
  readonly id: number
  readonly podCidrs: readonly string[]
  readonly serviceCidrs: readonly string[]
  /** Of the CA that signed, SHA-256. */
  readonly signer: string
}

/** What this cluster exported last; undefined when it never did, into another directory, or when somebody damaged it. */
export async function readOwn(directory: string): Promise<JoinFile | undefined> {
  const text = await readFile(join(directory, RECORDS, OWN), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  try {
    return parseJoinFile(text)
  } catch (error) {
    if (error instanceof WeftError) return undefined
    throw error
  }
}

/** Keeps `text`, a join file without a client key, for later comparisons. */
export async function writeOwn(directory: string, text: string): Promise<void> {
  await replaceAll(join(directory, RECORDS), [{ name: OWN, content: text, mode: 0o644 }])
}

/** The files a join writes, the one that makes agents connect last. */
export function joinFiles(directory: string, join_: JoinFile): readonly PlannedFile[] {
  const { facts, signer } = join_
  const { name, id } = facts.cluster
  const secure = facts.endpoints.some((endpoint) => endpoint.startsWith('https:'))
  const record: RecordedJoin = {
    name,
    id,
    podCidrs: facts.podCidrs,
    serviceCidrs: facts.serviceCidrs,
    signer: signer.fingerprint,
  }
  const files: PlannedFile[] = [
    { name: join(RECORDS, `${name}.join`), content: `${JSON.stringify(record)}\n`, mode: 0o644 },
  ]
  const config: Record<string, unknown> = { endpoints: facts.endpoints }
  if (secure) {
    const tls = tlsNames(name)
    files.push({ name: tls.ca, content: facts.caCertificates.join(''), mode: 0o644 })
    config['trusted-ca-file'] = join(directory, tls.ca)
    if (facts.client !== undefined) {
      files.push({ name: tls.key, content: facts.client.key, mode: 0o600 })
      files.push({ name: tls.cert, content: facts.client.certificate, mode: 0o644 })
      config['key-file'] = join(directory, tls.key)
      config['cert-file'] = join(directory, tls.cert)
    }
  }
  return [...files, { name, content: stringify(config), mode: 0o644 }]
}

function tlsNames(cluster: string): { readonly ca: string; readonly cert: string; readonly key: string } {
  return {
    ca: `${cluster}.etcd-client-ca.crt`,
    cert: `${cluster}.etcd-client.crt`,
    key: `${cluster}.etcd-client.key`,
  }
}

export interface PlannedFile {
  /** Relative to the directory. */
  readonly name: string
  readonly content: string
  readonly mode: number
}

/**
 * Brings the files into place: all are complete on disk before the first gets its name, and each gets it at once. Files that
 * hold the same already are left alone. Returns the names of those that changed.
 *
 * @throws JoinError `join-write`; then no file has changed, unless a rename itself failed
 */
export async function replaceAll(directory: string, files: readonly PlannedFile[]): Promise<string[]> {
  const prepared: { temporary: string; path: string; name: string }[] = []
  try {
    for (const { name, content, mode } of files) {
      const path = join(directory, name)
      const present = await readFile(path, 'utf8').catch(() => undefined)
      if (present === content) {
        await chmod(path, mode)
        continue
      }
      await mkdir(dirname(path), { recursive: true, mode: 0o755 })
      const temporary = stagedName(path)
      prepared.push({ temporary, path, name })
      await writeStaged(temporary, content, mode)
    }
    for (const { temporary, path } of prepared) await rename(temporary, path)
  } catch (cause) {
    throw new JoinError('join-write', `cannot write to ${directory}`, {
      cause,
      hint: 'the directory must be writable; where it is mounted read-only, configure the cluster at its source',
    })
  } finally {
    for (const { temporary } of prepared) await rm(temporary, { force: true })
  }
  return prepared.map(({ name }) => name)
}

/**
 * Takes a cluster out: its configuration first, so that agents drain it, then what that named.
 *
 * @throws JoinError `join-unknown` when the directory has no such cluster
 */
export async function removeMember(directory: string, cluster: string): Promise<void> {
  const members = await readMembers(directory)
  const member = members.find(({ name }) => name === cluster)
  if (member === undefined) {
    const names = members.map(({ name }) => name)
    const meant = nearest(cluster, names)
    throw new JoinError('join-unknown', `no cluster ${cluster} is connected in ${directory}`, {
      hint:
        meant !== undefined
          ? `did you mean ${meant}?`
          : names.length === 0
            ? 'no cluster is'
            : `connected are: ${names.join(', ')}`,
    })
  }
  await rm(member.path)
  const { ca, cert, key } = tlsNames(cluster)
  for (const name of [key, cert, ca, join(RECORDS, `${cluster}.join`)]) await rm(join(directory, name), { force: true })
}
