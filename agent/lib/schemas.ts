import { isIPv4 } from 'node:net'
import { z } from 'zod'
import { durationMs } from './duration.ts'
import { isListenAddress } from './listen-address.ts'

/** Forms of configuration values that more than one setting has. Each takes a file's value or a flag's text. */

export function integer(min: number, max: number): z.ZodType<number> {
  const number = z.int().min(min).max(max)
  return z.preprocess((value) => (typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value), number)
}

export const boolean: z.ZodType<boolean> = z.preprocess((value) => {
  const word = typeof value === 'string' ? value.toLowerCase() : value
  return word === 'true' ? true : word === 'false' ? false : value
}, z.boolean())

/** `10s` in milliseconds, within bounds. */
export function duration(minMs: number, maxMs: number): z.ZodType<number> {
  return z.string().transform((text, context) => {
    const ms = durationMs(text)
    if (ms !== undefined && ms >= minMs && ms <= maxMs) return ms
    context.addIssue('not a duration within bounds')
    return z.NEVER
  })
}

/** An absolute path. */
export const path: z.ZodType<string> = z.string().regex(/^\/[^\0]*$/)

/** The kernel's limit for the name of a unix socket is 107 bytes. */
export const socketPath: z.ZodType<string> = z
  .string()
  .regex(/^\/[^\0]*$/)
  .refine((text) => Buffer.byteLength(text) <= 107)

export const ipv4: z.ZodType<string> = z.string().refine((text) => isIPv4(text) && text !== '0.0.0.0')

/** `:9962`, `127.0.0.1:9962`: where to listen. */
export const listenAddress: z.ZodType<string> = z.string().refine(isListenAddress)

/** `30000-32767` as [first, last]. */
export const portRange: z.ZodType<readonly [number, number]> = z.string().transform((text, context) => {
  const [, first, last] = /^(\d{1,5})-(\d{1,5})$/.exec(text) ?? []
  const range = [Number(first), Number(last)] as const
  if (range[0] >= 1 && range[0] <= range[1] && range[1] <= 65535) return range
  context.addIssue('not a range of ports')
  return z.NEVER
})

/** A network device: the kernel takes 15 bytes without slash and space. */
export const device: z.ZodType<string> = z
  .string()
  .regex(/^[^\s/:]{1,15}$/)
  .refine((name) => name !== '.' && name !== '..')

/** A list in a file, or text with commas: devices, or beginnings of names that end in `+`. */
export const devices: z.ZodType<readonly string[]> = z.preprocess(
  (value) => (typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value),
  z.array(z.string().regex(/^[^\s/:]{1,15}$/)).min(1),
)

/** RFC 1123 subdomain, as Kubernetes names nodes. */
export const nodeName: z.ZodType<string> = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/)

/** A list in a file, or text with commas: http or https URLs of servers, nothing behind the port. */
export const endpoints: z.ZodType<readonly string[]> = z.preprocess(
  (value) => (typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value),
  z.array(z.string().regex(/^https?:\/\/[^/\s]+\/?$/)).min(1),
)
