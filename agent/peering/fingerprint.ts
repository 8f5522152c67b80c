/** The form certificates are compared in: 64 lower-case hex digits. Undefined when `text` is no SHA-256 fingerprint. */
export function parseFingerprint(text: string): string | undefined {
  const hex = text
    .replace(/^sha-?256([:=]| fingerprint=)/i, '')
    .replaceAll(':', '')
    .toLowerCase()
  return /^[0-9a-f]{64}$/.test(hex) ? hex : undefined
}
