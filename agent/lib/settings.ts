import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import type { ZodType } from 'zod'
import { ConfigError, describeError } from './errors.ts'
import { nearest } from './nearest.ts'

/** How one setting is read, checked and explained. Flag, environment name and file key all follow from its key. */
export interface SettingSpec<T> {
  /** Takes a file's value or the text of a flag or variable, and gives the value of the configuration. */
  readonly schema: ZodType<T>
  /** What is taken when nobody says anything; a function where that depends on the machine or on another setting. */
  readonly default: unknown
  /** For `--help` where `default` is a function. */
  readonly defaultText?: string
  /** What may be written: ends the sentence "allowed: …". */
  readonly allowed: string
  readonly description: string
  /** Placeholder of the flag's value. */
  readonly value: string
  /** Name of flag and variable where the usual one (`cluster-name` for clusterName) is not wanted. */
  readonly flagName?: string
  /** A relative path is meant from where it was written: the working directory, or the folder of the file. */
  readonly path?: boolean
}

type Group = { readonly [key: string]: unknown }
type IsGroup<T> = T extends readonly unknown[] ? false : T extends object ? true : false
/** Dotted keys of a nested configuration type. */
export type Keys<T, P extends string = ''> = {
  [K in keyof T & string]: IsGroup<T[K]> extends true ? Keys<T[K], `${P}${K}.`> : `${P}${K}`
}[keyof T & string]
type At<T, K extends string> = K extends `${infer Head}.${infer Rest}` ? At<T[Head & keyof T], Rest> : T[K & keyof T]
/** One spec for each leaf of the configuration type: neither can have what the other lacks. */
export type SettingTable<T> = { readonly [K in Keys<T>]: SettingSpec<At<T, K>> }

/** What a command line needs to offer a setting as a flag. */
export interface Setting {
  readonly key: string
  /** `--cluster-name <name>`. */
  readonly flag: string
  /** `WEFT_CLUSTER_NAME`. */
  readonly env: string
  readonly description: string
  readonly default: unknown
}

/** One value in use and where it came from: `default`, `file PATH`, `env WEFT_X`, `flag --x`. */
export interface SettingValue {
  readonly key: string
  /** As it was written; null when the setting has no value. */
  readonly value: unknown
  readonly source: string
}

export interface SettingsInput {
  /** Values of the flags that were given, by long name without dashes: `{'cluster-name': 'west'}`. */
  readonly flags: Readonly<Record<string, string | boolean | undefined>>
  readonly env: Readonly<Record<string, string | undefined>>
  /** Text of a file; throws when there is none. */
  readonly readFile: (path: string) => string
}

export interface Loaded<T> {
  readonly config: T
  /** In the order of the table. */
  readonly values: readonly SettingValue[]
}

/** Something wrong with one setting. */
export interface SettingProblem {
  readonly key: string
  readonly message: string
}

/** The file with the settings is itself given by flag or variable. */
export const CONFIG_FILE: Setting = {
  key: 'config',
  flag: '--config <file>',
  env: 'WEFT_CONFIG',
  description: 'file with settings, YAML or JSON',
  default: undefined,
}

/** All that is wrong with a configuration, at once. */
export class InvalidConfig extends ConfigError {
  readonly problems: readonly SettingProblem[]

  constructor(problems: readonly SettingProblem[]) {
    const lines = problems.map((problem) => `  ${problem.message}`)
    super('config-invalid', `the configuration cannot be used:\n${lines.join('\n')}`, {
      hint: 'Correct the values named above. Flags win over the environment, the environment over the file.',
    })
    this.problems = problems
  }
}

export function describeSettings<T>(table: SettingTable<T>): readonly Setting[] {
  const settings = specsOf(table).map(([key, spec]) => ({
    key,
    flag: `--${flagName(key, spec)} ${spec.value}`,
    env: envName(key, spec),
    description: spec.description,
    default: typeof spec.default === 'function' ? spec.defaultText : spec.default,
  }))
  return [CONFIG_FILE, ...settings]
}

interface Raw {
  readonly value: unknown
  readonly source: string
}

/** The default of a setting may look at settings above it in the table, and read files. */
export interface DefaultContext {
  readonly get: (key: string) => unknown
  readonly readFile: (path: string) => string
}

/**
 * Puts defaults, file, environment and flags on top of each other, checks every value, and then `check`s what values mean
 * together. The result is frozen.
 *
 * @throws InvalidConfig naming every problem with key, value, what is allowed, and where the value came from.
 */
export function loadSettings<T extends object>(
  table: SettingTable<T>,
  input: SettingsInput,
  check: (config: T, complain: (key: Keys<T>, message: string) => void) => void,
): Loaded<T> {
  const specs = specsOf(table)
  const problems: SettingProblem[] = []
  const file = readSettingsFile(specs, input, problems)
  const raws = new Map<string, Raw>()
  const parsed = new Map<string, unknown>()
  for (const [key, spec] of specs) {
    const raw = pick(key, spec, file, input) ?? { value: defaultOf(spec, parsed, input), source: 'default' }
    raws.set(key, raw)
    const result = spec.schema.safeParse(raw.value)
    if (result.success) parsed.set(key, result.data)
    else problems.push({ key, message: `${refusal(key, raw)}; allowed: ${spec.allowed}` })
  }
  const config = freeze(nest(specs, parsed)) as T
  // A value that is wrong by itself is undefined here: complaints about what it means together with others would be noise.
  check(config, (key, message) => {
    const raw = raws.get(key)
    if (parsed.has(key) && raw !== undefined) problems.push({ key, message: `${refusal(key, raw)}: ${message}` })
  })
  if (problems.length > 0) throw new InvalidConfig(problems)
  const values = [...raws].map(([key, raw]) => ({ key, value: asWritten(raw, parsed.get(key)), source: raw.source }))
  return { config, values }
}

/** The one that counts of what was said about a setting; empty variables say nothing. */
function pick(
  key: string,
  spec: SettingSpec<unknown>,
  file: ReadonlyMap<string, Raw>,
  input: SettingsInput,
): Raw | undefined {
  const flag = input.flags[flagName(key, spec)]
  if (flag !== undefined) return located(spec, { value: flag, source: `flag --${flagName(key, spec)}` }, '.')
  const env = input.env[envName(key, spec)]
  if (env !== undefined && env !== '') return located(spec, { value: env, source: `env ${envName(key, spec)}` }, '.')
  return file.get(key)
}

function located(spec: SettingSpec<unknown>, raw: Raw, from: string): Raw {
  const { value } = raw
  return spec.path === true && typeof value === 'string' && value !== '' ? { ...raw, value: resolve(from, value) } : raw
}

function defaultOf(spec: SettingSpec<unknown>, parsed: ReadonlyMap<string, unknown>, input: SettingsInput): unknown {
  if (typeof spec.default !== 'function') return spec.default
  const context: DefaultContext = { get: (key) => parsed.get(key), readFile: input.readFile }
  return (spec.default as (context: DefaultContext) => unknown)(context)
}

type Specs = readonly (readonly [string, SettingSpec<unknown>])[]

function readSettingsFile(specs: Specs, input: SettingsInput, problems: SettingProblem[]): ReadonlyMap<string, Raw> {
  const values = new Map<string, Raw>()
  const path = input.flags['config'] ?? input.env[CONFIG_FILE.env]
  if (typeof path !== 'string' || path === '') return values
  let content: unknown
  try {
    content = parse(input.readFile(path))
  } catch (error) {
    problems.push({ key: 'config', message: `file ${path} cannot be used: ${describeError(error).split('\n')[0]}` })
    return values
  }
  const known = new Map(specs)
  const groups = new Set(specs.flatMap(([key]) => (key.includes('.') ? [key.slice(0, key.lastIndexOf('.'))] : [])))

  const visit = (object: Group, prefix: string): void => {
    for (const [name, value] of Object.entries(object)) {
      const key = prefix + name
      const spec = known.get(key)
      if (spec !== undefined) {
        if (values.has(key)) problems.push({ key, message: `${key} is written twice in file ${path}` })
        if (value !== null) values.set(key, located(spec, { value, source: `file ${path}` }, dirname(path)))
      } else if (groups.has(key) && isGroup(value)) visit(value, `${key}.`)
      else if (groups.has(key)) {
        problems.push({
          key,
          message: `${key} in file ${path} is a group: write its settings below it, not ${show(value)}`,
        })
      } else {
        const meant = nearest(key, [...known.keys(), ...groups])
        const advice = meant === undefined ? `known: ${[...known.keys()].join(', ')}` : `did you mean ${meant}?`
        problems.push({ key, message: `${key} in file ${path} is not a setting; ${advice}` })
      }
    }
  }
  if (isGroup(content)) visit(content, '')
  else if (content !== null) {
    problems.push({ key: 'config', message: `file ${path} holds ${show(content)} instead of \`key: value\` lines` })
  }
  return values
}

/** `10s` stays `10s`, the text of a number or of true and false becomes one. */
function asWritten(raw: Raw, parsed: unknown): unknown {
  const same = typeof parsed !== 'string' && String(raw.value).toLowerCase() === String(parsed)
  return (same ? parsed : raw.value) ?? null
}

function refusal(key: string, raw: Raw): string {
  const value = raw.value === undefined || raw.value === null ? 'has no value' : `is ${show(raw.value)}`
  return `${key} ${value} (${raw.source})`
}

function nest(specs: Specs, values: ReadonlyMap<string, unknown>): Record<string, unknown> {
  const root: Record<string, unknown> = {}
  for (const [key] of specs) {
    const steps = key.split('.')
    const last = steps.pop() ?? key
    let group = root
    for (const step of steps) group = (group[step] ??= {}) as Record<string, unknown>
    group[last] = values.get(key)
  }
  return root
}

function freeze(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}

function specsOf<T>(table: SettingTable<T>): Specs {
  return Object.entries(table)
}

/** `loadBalancer.maglevTableSize` → `load-balancer-maglev-table-size`; `cacheTTL` → `cache-ttl`. */
function flagName(key: string, spec: SettingSpec<unknown>): string {
  return spec.flagName ?? words(key).join('-')
}

/** `WEFT_LOAD_BALANCER_MAGLEV_TABLE_SIZE`. */
function envName(key: string, spec: SettingSpec<unknown>): string {
  return `WEFT_${flagName(key, spec).replaceAll('-', '_').toUpperCase()}`
}

function words(key: string): string[] {
  return key
    .replace(/([a-z0-9])([A-Z])/g, '$1.$2')
    .toLowerCase()
    .split('.')
}

function isGroup(value: unknown): value is Group {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? String(value)
}
