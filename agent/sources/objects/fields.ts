import { isIPv6 } from 'node:net'
import type { Address, Cidr } from '../../types/address.ts'
import { parseAddress, parseCidr } from '../../types/address.ts'
import type { Protocol } from '../../types/service.ts'
import { parseProtocol } from '../../types/service.ts'

export type Path = readonly (string | number)[]

/** One thing wrong with one field of an object. */
export interface Fault {
  readonly path: Path
  /** `70000 is not a port (1-65535)`: without the path. */
  readonly message: string
  /** What to write instead. */
  readonly hint: string
}

/**
 * What an object becomes. `skipped` is an object that is right but not for us (another address family, a mirror of what
 * the mesh already brings): no row and no complaint.
 */
export type Converted<T> = { readonly row: T } | { readonly refused: readonly Fault[] } | { readonly skipped: string }

/** Where an object was found; conversions are otherwise pure functions of the object. */
export interface ConvertContext {
  /** Name of the own cluster. */
  readonly cluster: string
  /** For people: `services.yaml:12`, or `cluster`. */
  readonly origin: string
}

/** `spec.ports[0].port`. */
export function formatPath(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (/^[A-Za-z_]\w*$/.test(step)) text += text === '' ? step : `.${step}`
    else text += `["${step}"]`
  }
  return text
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

/**
 * A place inside an object that nobody has checked yet. Reading never throws whatever was written there; what does not fit
 * is noted in `faults` and reads as undefined. YAML's null and an absent key are the same thing, as they are to Kubernetes.
 */
export class Field {
  readonly value: unknown
  readonly #parent: Field | undefined
  readonly #step: string | number
  readonly #faults: Fault[]

  private constructor(value: unknown, parent: Field | undefined, step: string | number, faults: Fault[]) {
    this.value = value ?? undefined
    this.#parent = parent
    this.#step = step
    this.#faults = faults
  }

  static root(value: unknown): Field {
    return new Field(value, undefined, '', [])
  }

  /** Everything noted so far, anywhere in the object. */
  get faults(): readonly Fault[] {
    return this.#faults
  }

  get path(): Path {
    return this.#parent === undefined ? [] : [...this.#parent.path, this.#step]
  }

  /** Inside something that is a fault already, nothing else is worth saying. */
  fault(message: string, hint: string): undefined {
    const path = this.path
    const within = this.#faults.some((known) => known.path.length < path.length && isPrefix(known.path, path))
    if (!within) this.#faults.push({ path, message, hint })
    return undefined
  }

  /** The value under `key` of a mapping. */
  at(key: string): Field {
    const isMapping = typeof this.value === 'object' && !Array.isArray(this.value)
    if (this.value !== undefined && !isMapping)
      this.#once(`${show(this.value)} is not a mapping`, 'Write `key: value` lines here.')
    const child = isMapping ? (this.value as Record<string, unknown>)[key] : undefined
    return new Field(child, this, key, this.#faults)
  }

  /** The elements of a list; none when absent. */
  list(): Field[] {
    if (this.value === undefined) return []
    if (!Array.isArray(this.value)) {
      this.#once(`${show(this.value)} is not a list`, 'Write a list, each element starting with `- `.')
      return []
    }
    return this.value.map((element, i) => new Field(element, this, i, this.#faults))
  }

  string(): string | undefined {
    if (this.value === undefined || typeof this.value === 'string') return this.value
    return this.fault(`${show(this.value)} is not a string`, 'Put it in quotes.')
  }

  boolean(): boolean | undefined {
    if (this.value === undefined || typeof this.value === 'boolean') return this.value
    return this.fault(`${show(this.value)} is not true or false`, 'Write true or false, without quotes.')
  }

  /** Labels, selectors: strings by string. */
  strings(): Readonly<Record<string, string>> {
    const result: Record<string, string> = {}
    if (this.value === undefined) return result
    if (typeof this.value !== 'object' || Array.isArray(this.value)) {
      this.#once(`${show(this.value)} is not a mapping`, 'Write `key: value` lines here.')
      return result
    }
    for (const key of Object.keys(this.value as object)) {
      const text = this.at(key).string()
      if (text !== undefined) result[key] = text
    }
    return result
  }

  /** 1..65535; undefined when absent or wrong. */
  port(): number | undefined {
    const { value } = this
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535) return value
    const quoted = typeof value === 'string' && /^\d+$/.test(value)
    return this.fault(
      `${show(value)} is not a port (1-65535)`,
      quoted ? 'Write the number without quotes.' : 'Write a whole number from 1 to 65535.',
    )
  }

  /** As `port`, and 0 stands for "none", as the API server writes it. */
  optionalPort(): number | undefined {
    return this.value === 0 ? undefined : this.port()
  }

  protocol(): Protocol | undefined {
    if (this.value === undefined) return 6
    const protocol = typeof this.value === 'string' ? parseProtocol(this.value) : undefined
    return protocol ?? this.fault(`${show(this.value)} is not a protocol`, 'Use TCP, UDP or SCTP.')
  }

  /** An IPv4 address; undefined without a complaint for IPv6, which is not handled yet. */
  address(): Address | undefined {
    const { value } = this
    if (value === undefined || value === '') return undefined
    const address = typeof value === 'string' ? parseAddress(value) : undefined
    if (address !== undefined && address !== 0) return address
    if (typeof value === 'string' && isIPv6(value)) return undefined
    return this.fault(
      `${show(value)} is not an address`,
      'Write four decimal numbers from 0 to 255 with no leading zeros, like 10.0.0.7; 0.0.0.0 belongs to nobody.',
    )
  }

  /** An IPv4 prefix; undefined without a complaint for IPv6. */
  cidr(): Cidr | undefined {
    const { value } = this
    if (value === undefined || value === '') return undefined
    const text = typeof value === 'string' ? value.trim() : ''
    const cidr = parseCidr(text)
    if (cidr !== undefined) return cidr
    if (/^[^/]+(\/\d{1,3})?$/.test(text) && isIPv6(text.replace(/\/.*/, ''))) return undefined
    return this.fault(`${show(value)} is not a prefix`, 'Write address and length, like 10.0.0.0/16.')
  }

  /** One of `allowed`; undefined when absent or unknown. Unknown is not a fault: the caller takes the default and says so. */
  oneOf<T extends string>(allowed: readonly T[]): T | undefined {
    return allowed.find((word) => word === this.value)
  }

  dnsLabel(): string | undefined {
    return this.#name(DNS_LABEL, 63, 'Use lower-case letters, digits and "-", at most 63 characters.')
  }

  dnsSubdomain(): string | undefined {
    return this.#name(DNS_SUBDOMAIN, 253, 'Use lower-case letters, digits, "-" and ".", at most 253 characters.')
  }

  #name(form: RegExp, limit: number, hint: string): string | undefined {
    const text = this.string()
    if (text === undefined || (text.length <= limit && form.test(text))) return text
    return this.fault(`${show(text)} is not a valid name`, hint)
  }

  /** Several readers may look into the same wrong place: it is one fault. */
  #once(message: string, hint: string): void {
    const path = this.path
    const known = this.#faults.some((fault) => fault.path.length === path.length && isPrefix(fault.path, path))
    if (!known) this.fault(message, hint)
  }
}

function isPrefix(short: Path, long: Path): boolean {
  return short.every((step, i) => step === long[i])
}

/** A value as it stands in the message: short, and quoted when it is text. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/** `metadata.name` and `metadata.namespace` (default `default`); undefined where they are missing or wrong. */
export function readMeta(object: Field): {
  readonly name: string | undefined
  readonly namespace: string | undefined
  readonly labels: Readonly<Record<string, string>>
} {
  const metadata = object.at('metadata')
  const nameField = metadata.at('name')
  if (nameField.value === undefined) nameField.fault('is missing', 'Give the object a name.')
  return {
    name: nameField.dnsSubdomain(),
    namespace: metadata.at('namespace').value === undefined ? 'default' : metadata.at('namespace').dnsLabel(),
    labels: metadata.at('labels').strings(),
  }
}
