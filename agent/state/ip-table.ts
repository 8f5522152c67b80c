import type { Address, Cidr } from '../types/address.ts'
import type { IpClaim, IpEntry, IpFields } from '../types/identity.ts'
import type { ReadTable } from './table.ts'
import { formatCidr, parseCidr } from '../types/address.ts'
import { FLAG, PrefixMap, VALUE } from '../lib/prefix-map.ts'
import { MAX_NAME, NameArena } from './name-arena.ts'

/** Words of a row. */
const IDENTITY = VALUE
const HOST = VALUE + 1
const NAMES = VALUE + 2

const HAS_HOST = FLAG

/** Addresses as everyone but the Writer sees them. */
export interface ReadIpTable extends ReadTable<IpEntry, 'prefix'> {
  /** How many rows a cluster has. */
  count(cluster: string): number
  /** As `by` a prefix, without keys and names. */
  claims(prefix: Cidr): readonly IpClaim[]
}

/**
 * The one table that holds millions of rows: columns in typed arrays, about 75 bytes for each row with its names. Rows are
 * made when they are read, so two reads of one row give two objects; they come in no order.
 *
 * A name longer than any of Kubernetes' (253 characters) can be is not kept.
 */
export class IpTable implements ReadIpTable {
  readonly #map = new PrefixMap(3)
  readonly #names = new NameArena()
  /** Clusters by the number that is in their rows. */
  readonly #clusters: { readonly name: string; rows: number }[] = []
  readonly #numbers = new Map<string, number>()
  readonly #scratch = Buffer.alloc(2 * MAX_NAME)
  #revision = 0

  get size(): number {
    return this.#map.size
  }

  get revision(): number {
    return this.#revision
  }

  count(cluster: string): number {
    const number = this.#numbers.get(cluster)
    return number === undefined ? 0 : this.#clusters[number]!.rows
  }

  /** `key` is `cluster/a.b.c.d/bits`. */
  get(key: string): IpEntry | undefined {
    return this.#find(key) ? this.#row() : undefined
  }

  *values(): IterableIterator<IpEntry> {
    let rows: IpEntry[] = []
    for (const _ of this.#map.portions(() => rows.push(this.#row()))) {
      yield* rows
      rows = []
    }
  }

  by(name: 'prefix', value: string): Iterable<IpEntry> {
    const rows: IpEntry[] = []
    const prefix = name === 'prefix' ? parseCidr(value) : undefined
    if (prefix === undefined) return rows
    const { address, bits } = prefix
    for (let more = this.#map.first(address, bits); more; more = this.#map.next(address, bits)) rows.push(this.#row())
    return rows
  }

  claims({ address, bits }: Cidr): readonly IpClaim[] {
    const map = this.#map
    const claims: IpClaim[] = []
    for (let more = map.first(address, bits); more; more = map.next(address, bits)) {
      const { words, at } = map
      claims.push({
        cluster: this.#clusters[map.owner()]!.name,
        identity: words[at + IDENTITY]!,
        hostAddress: map.has(HAS_HOST) ? (words[at + HOST]! as Address) : undefined,
      })
    }
    return claims
  }

  put(row: IpEntry): void {
    const { cluster, prefix, identity, hostAddress } = row
    const name = (text: string | undefined, at: number): number => {
      const length = text === undefined ? 0 : Buffer.byteLength(text)
      return length === 0 || length > MAX_NAME ? at : at + this.#scratch.write(text!, at)
    }
    const middle = name(row.namespace, 0)
    this.putFields(cluster, {
      ...{ address: prefix.address, bits: prefix.bits, identity, host: hostAddress ?? -1, bytes: this.#scratch },
      ...{ namespaceAt: 0, namespaceEnd: middle, podAt: middle, podEnd: name(row.podName, middle) },
    })
  }

  /** As `put`, without making objects. Its names must not be longer than MAX_NAME bytes; nothing of `fields` is kept. */
  putFields(cluster: string, fields: IpFields): void {
    const map = this.#map
    const number = this.#number(cluster)
    if (!map.find(fields.address, fields.bits, number)) {
      map.insert(fields.address, fields.bits, number)
      this.#clusters[number]!.rows++
    }
    const { words, at } = map
    words[at + IDENTITY] = fields.identity
    words[at + HOST] = fields.host < 0 ? 0 : fields.host
    map.flag(HAS_HOST, fields.host >= 0)
    const { bytes, namespaceAt, namespaceEnd, podAt, podEnd } = fields
    words[at + NAMES] = this.#names.replace(words[at + NAMES]!, bytes, namespaceAt, namespaceEnd, podAt, podEnd)
    this.#revision++
  }

  /** False when there was no such row. */
  remove(key: string): boolean {
    if (!this.#find(key)) return false
    this.#names.free(this.#map.words[this.#map.at + NAMES]!)
    this.#clusters[this.#map.owner()]!.rows--
    this.#map.remove()
    this.#revision++
    return true
  }

  #find(key: string): boolean {
    const slash = key.indexOf('/')
    const number = this.#numbers.get(key.slice(0, slash))
    const prefix = parseCidr(key.slice(slash + 1))
    return number !== undefined && prefix !== undefined && this.#map.find(prefix.address, prefix.bits, number)
  }

  #number(cluster: string): number {
    let number = this.#numbers.get(cluster)
    if (number === undefined) {
      number = this.#clusters.length
      this.#clusters.push({ name: cluster, rows: 0 })
      this.#numbers.set(cluster, number)
    }
    return number
  }

  #row(): IpEntry {
    const map = this.#map
    const { words, at } = map
    const prefix = { address: map.address() as Address, bits: map.bits() }
    const cluster = this.#clusters[map.owner()]!.name
    const [namespace, podName] = this.#names.read(words[at + NAMES]!)
    return {
      key: `${cluster}/${formatCidr(prefix)}`,
      ...{ cluster, prefix, namespace, podName },
      identity: words[at + IDENTITY]!,
      hostAddress: map.has(HAS_HOST) ? (words[at + HOST]! as Address) : undefined,
    }
  }
}
