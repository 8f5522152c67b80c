/**
 * An IP address as a value. IPv4 only for now: the 32 bits in host order, so that comparing, masking and using it as a
 * map key cost nothing. An IPv6 form is added by widening this type and the four functions below; nothing else looks inside.
 */
export type Address = number & { readonly __address: 'ip' }

/** A prefix in canonical form: host bits are zero. */
export interface Cidr {
  readonly address: Address
  readonly bits: number
}

export const ANY_ADDRESS = 0 as Address

const DOT = 0x2e
const ZERO = 0x30

/**
 * Strict dotted quad: octal-looking or short forms ("010.1.1.1", "10.1") are refused, because other parsers read them
 * as another address. Undefined for anything else, IPv6 included.
 */
export function parseAddress(text: string): Address | undefined {
  let value = 0
  let at = 0
  for (let i = 0; i < 4; i++) {
    if (i > 0 && (at >= text.length || text.charCodeAt(at++) !== DOT)) return undefined
    const first = at
    let octet = 0
    for (; at < text.length && at < first + 3; at++) {
      const digit = text.charCodeAt(at) - ZERO
      if (digit < 0 || digit > 9) break
      octet = octet * 10 + digit
    }
    if (at === first || octet > 255 || (at > first + 1 && text.charCodeAt(first) === ZERO)) return undefined
    value = value * 256 + octet
  }
  return at === text.length ? (value as Address) : undefined
}

export function formatAddress(address: Address): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
}

/** "10.0.0.0/16", or a bare address as /32. Host bits are cleared. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/')
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash))
  if (address === undefined) return undefined
  const tail = slash < 0 ? '32' : text.slice(slash + 1)
  if (!/^\d{1,2}$/.test(tail) || Number(tail) > 32) return undefined
  const bits = Number(tail)
  return { address: maskAddress(address, bits), bits }
}

export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.address)}/${cidr.bits}`
}

export function maskAddress(address: Address, bits: number): Address {
  return (bits === 0 ? 0 : (address & (0xffffffff << (32 - bits))) >>> 0) as Address
}

/** By address, wider ones first. */
export function compareCidrs(a: Cidr, b: Cidr): number {
  return a.address - b.address || a.bits - b.bits
}

export function cidrContains(cidr: Cidr, address: Address): boolean {
  return maskAddress(address, cidr.bits) === cidr.address
}
