import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { PLACES } from './names.ts'

/**
 * A case file: what happens to one node of cluster west, step by step, and what a person then sees. See README.md in this
 * folder for what each part means; a key that is not known is an error.
 */
const text = z.string()
const names = z.array(text)
const wire = z.record(text, text.nullable())

const REMOTE = z.strictObject({
  id: z.number().int().optional(),
  state: z.enum(['ready', 'syncing', 'unreachable', 'disconnected', 'removed']).optional(),
  services: z
    .record(
      text,
      z
        .strictObject({
          ports: z.record(text, z.union([z.number(), text])),
          backends: names,
          shared: z.boolean().default(true),
        })
        .nullable(),
    )
    .default({}),
  nodes: z.record(text, z.strictObject({ address: text, podCidr: text }).nullable()).default({}),
  addresses: z.record(text, z.strictObject({ identity: z.number(), node: text }).nullable()).default({}),
  /** Records as they stand in etcd, by resource and the end of their key. */
  records: z
    .strictObject({
      services: wire.default({}),
      nodes: wire.default({}),
      endpoints: wire.default({}),
      identities: wire.default({}),
    })
    .partial()
    .default({}),
})

const EXPECT = z.strictObject({
  services: text.optional(),
  maps: text.optional(),
  frontends: text.optional(),
  backends: text.optional(),
  ipcache: text.optional(),
  explain: z.record(text, z.record(text, z.record(text, text))).optional(),
  clients: z.record(text, z.record(text, text)).optional(),
  states: z.record(text, z.enum(['done', 'pending', 'error'])).optional(),
  problems: z.array(z.union([text, z.record(text, text)])).default([]),
  routes: z.record(text, text).optional(),
  /** Entries written or removed since the last `expect`. */
  writes: z.number().optional(),
  drift: z.number().optional(),
})

const STEP = z
  .strictObject({
    apply: z.array(z.union([text, z.record(text, z.unknown())])),
    patch: z.record(text, z.record(text, z.unknown())),
    delete: names,
    remote: z.record(text, REMOTE),
    restart: z.union([z.literal(true), z.strictObject({ waiting: names })]),
    synced: names,
    wait: z.string().regex(/^\d+(ms|s)$/),
    tamper: z.strictObject({ services: names, ipcache: names, endpoints: names }).partial(),
    expect: EXPECT,
  })
  .partial()
  .refine((step) => Object.keys(step).length === 1, 'a step does exactly one thing')

const CASE = z.strictObject({
  title: text,
  /** Why it matters; for the reader. */
  about: text.optional(),
  /** Where the behaviour can be seen at all; both when left out. */
  only: z.enum(PLACES).optional(),
  config: z
    .strictObject({
      algorithm: z.enum(['random', 'maglev']).default('random'),
      maglevTableSize: z.union([z.literal('auto'), z.number()]).default(251),
      mapSizes: z
        .strictObject({ services: z.number(), slots: z.number(), backends: z.number(), ipcache: z.number() })
        .partial()
        .default({}),
    })
    .prefault({}),
  steps: z.array(STEP).min(1),
})

export type Case = z.infer<typeof CASE>
export type Step = Case['steps'][number]
export type Expected = z.infer<typeof EXPECT>
export type RemoteSpec = z.infer<typeof REMOTE>
export type CaseConfig = Case['config']

/** Throws with file and place of everything that is wrong. */
export function readCase(path: string): Case {
  const parsed = CASE.safeParse(parse(readFileSync(path, 'utf8'), { merge: true }))
  if (parsed.success) return parsed.data
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  throw new Error(`${basename(path)}: ${faults.join('; ')}`)
}
