import type { IpFields } from '../identity.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const BRACE = 0x7d

const START = Buffer.from('{"IP":"')
const AFTER_IP = Buffer.from('","Mask":null,"HostIP":"')
const AFTER_HOST = Buffer.from('","ID":')
const AFTER_ID = Buffer.from(',"Key":')
const AFTER_KEY = Buffer.from(',"Metadata":"')
const NAMESPACE = Buffer.from('"K8sNamespace":"')
const POD = Buffer.from('"K8sPodName":"')

/** Longest name that is taken. */
const NAME = 253

/**
 * Reads the record of one IPv4 address where it lies, if it is written as its exporters write it: fields in Go's order, no
 * blanks, no escapes, plain ASCII. Whatever else it may be, valid or not, is `decodeIp`'s to tell: false, and the fields
 * are then of no meaning.
 */
export class IpScan implements IpFields {
  address = 0
  readonly bits = 32
  identity = 0
  host = -1
  bytes: Buffer = START
  /** The printed address. */
  ipAt = 0
  ipEnd = 0
  namespaceAt = 0
  namespaceEnd = 0
  podAt = 0
  podEnd = 0
  #at = 0
  #end = 0

  scan(bytes: Buffer, at: number, end: number): boolean {
    this.bytes = bytes
    this.#at = at
    this.#end = end
    if (!this.#literal(START)) return false
    this.ipAt = this.#at
    if ((this.address = this.#quad()) < 0) return false
    this.ipEnd = this.#at
    if (!this.#literal(AFTER_IP)) return false
    this.host = bytes[this.#at] === QUOTE ? -1 : this.#quad()
    if (this.#at >= end || (this.host < 0 && bytes[this.#at] !== QUOTE)) return false
    if (!this.#literal(AFTER_HOST) || (this.identity = this.#number()) < 0) return false
    if (!this.#literal(AFTER_ID) || this.#number() < 0 || !this.#literal(AFTER_KEY) || !this.#string()) return false
    this.namespaceAt = this.namespaceEnd = this.podAt = this.podEnd = this.#at
    if (this.#optional(NAMESPACE)) {
      this.namespaceAt = this.#at
      if (!this.#string()) return false
      this.namespaceEnd = this.#at - 1
    }
    if (this.#optional(POD)) {
      this.podAt = this.#at
      if (!this.#string()) return false
      this.podEnd = this.#at - 1
    }
    if (this.namespaceEnd - this.namespaceAt > NAME || this.podEnd - this.podAt > NAME) return false
    return bytes[this.#at] === BRACE && this.#at + 1 === end
  }

  #literal(text: Buffer): boolean {
    const { bytes } = this
    const at = this.#at
    if (at + text.length > this.#end) return false
    for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text[i]) return false
    this.#at = at + text.length
    return true
  }

  /** A comma and `text`; nothing is read when it is something else. */
  #optional(text: Buffer): boolean {
    if (this.bytes[this.#at] !== COMMA) return false
    this.#at++
    if (this.#literal(text)) return true
    this.#at--
    return false
  }

  /** Past a string's closing quote; it has begun already. */
  #string(): boolean {
    const { bytes } = this
    for (let at = this.#at; at < this.#end; at++) {
      const byte = bytes[at]!
      if (byte === QUOTE) {
        this.#at = at + 1
        return true
      }
      if (byte < 0x20 || byte > 0x7e || byte === 0x5c) return false
    }
    return false
  }

  /** An unsigned 32-bit number without leading zeroes; -1 for anything else. */
  #number(): number {
    const { bytes } = this
    const from = this.#at
    let value = 0
    let at = from
    for (; at < this.#end; at++) {
      const digit = bytes[at]! - 0x30
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    if (at === from || at - from > 10 || value > 0xffffffff || (bytes[from] === 0x30 && at > from + 1)) return -1
    this.#at = at
    return value
  }

  #quad(): number {
    const found = scanQuad(this.bytes, this.#at, this.#end)
    if (found >= 0) this.#at += quadLength
    return found
  }
}

/** How many bytes the last `scanQuad` read. */
let quadLength = 0

/** A strict dotted quad at the beginning of a part of `bytes`, as `parseAddress` takes it; -1 for anything else. */
function scanQuad(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  let value = 0
  for (let i = 0; i < 4; i++) {
    if (i > 0 && bytes[at++] !== 0x2e) return -1
    const first = at
    let octet = 0
    while (at < end && at - first < 3) {
      const digit = bytes[at]! - 0x30
      if (digit < 0 || digit > 9) break
      octet = octet * 10 + digit
      at++
    }
    if (at === first || octet > 255 || (bytes[first] === 0x30 && at > first + 1)) return -1
    value = value * 256 + octet
  }
  quadLength = at - from
  return value
}

/** The address a whole part of `bytes` spells; -1 when it is none. */
export function scanAddress(bytes: Uint8Array, from: number, end: number): number {
  const address = scanQuad(bytes, from, end)
  return address >= 0 && from + quadLength === end ? address : -1
}
