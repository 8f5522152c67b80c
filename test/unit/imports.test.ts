import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

/**
 * Who may import whom. The picture in docs/OVERVIEW.md is true only as long as this is: data flows one way, and every folder can
 * be understood, tested and replaced without those further down.
 */

const ROOT = resolve(import.meta.dirname, '../..')

/** Beside its own folder, types and lib. A name matches that folder and what is below it; `.ts` a single file. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'agent/types': [],
  'agent/lib': [],
  'agent/config.ts': ['agent/config'],
  'agent/config': [],
  'agent/pki': [],
  'agent/state': [],
  'agent/sources/objects': [],
  'agent/sources/kubernetes': ['agent/state/writer.ts', 'agent/state/sync.ts', 'agent/sources/objects'],
  'agent/sources/manifests': ['agent/state/writer.ts', 'agent/state/sync.ts', 'agent/sources/objects'],
  'agent/sources/mesh': ['agent/state/writer.ts', 'agent/state/sync.ts', 'agent/sources/objects', 'agent/pki'],
  'agent/sources/probes': ['agent/state/writer.ts'],
  'agent/desired': ['agent/state'],
  'agent/maps': [],
  'agent/reconcile': [],
  'agent/targets': ['agent/maps', 'agent/reconcile/target.ts', 'native'],
  'agent/api': ['agent/state', 'agent/reconcile'],
  'agent/peering': ['agent/pki', 'agent/sources/mesh/config-file.ts'],
  'agent/cli': ['agent/api', 'agent/maps', 'agent/config.ts', 'agent/peering', 'agent/pki', 'native'],
  native: [],
}

/** Lowest of all: they may not even import each other freely. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  'agent/types': [],
  'agent/lib': [],
  native: [],
}

/** The programs in agent/run/ put everything together; nobody imports them but the entry point. */
const isRoot = (path: string): boolean => path === 'agent/main.ts' || within(path, 'agent/run')

const within = (path: string, place: string): boolean => path === place || path.startsWith(`${place}/`)

/** The most specific place a file belongs to. */
function placeOf(path: string): string | undefined {
  return Object.keys(MAY_IMPORT)
    .filter((place) => within(path, place))
    .sort((a, b) => b.length - a.length)[0]
}

interface Import {
  readonly from: string
  readonly to: string
  readonly typeOnly: boolean
}

function files(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
}

function importsOf(path: string, text: string): Import[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const found: Import[] = []
  const add = (to: string, typeOnly: boolean): void => {
    const target = to.startsWith('.') ? relative(ROOT, resolve(ROOT, dirname(path), to)) : to
    found.push({ from: path, to: target, typeOnly })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      add(node.moduleSpecifier.text, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword)
    } else if (
      ts.isExportDeclaration(node) &&
      node.moduleSpecifier !== undefined &&
      ts.isStringLiteral(node.moduleSpecifier)
    ) {
      add(node.moduleSpecifier.text, node.isTypeOnly)
    } else if (ts.isCallExpression(node) && isLoader(node.expression)) {
      const [argument] = node.arguments
      if (argument !== undefined && ts.isStringLiteral(argument)) add(argument.text, false)
    } else if (
      ts.isImportTypeNode(node) &&
      ts.isLiteralTypeNode(node.argument) &&
      ts.isStringLiteral(node.argument.literal)
    ) {
      add(node.argument.literal.text, true)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

function isLoader(callee: ts.Expression): boolean {
  return callee.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(callee) && callee.text === 'require')
}

const isLocal = (each: Import): boolean =>
  within(each.to, 'agent') || within(each.to, 'native') || each.to.startsWith('test/')

/** Undefined when it is allowed. */
function objection(each: Import): string | undefined {
  const { from, to } = each
  if (!isLocal(each)) return undefined
  if (isRoot(to)) return isRoot(from) ? undefined : 'composition roots are imported by nobody'
  if (isRoot(from)) return to.startsWith('test/') ? 'the product does not import its tests' : undefined
  const place = placeOf(from)
  if (place === undefined) return 'its folder is not in the table'
  if (within(to, place)) return undefined
  const common = BELOW[place] === undefined ? ['agent/types', 'agent/lib'] : BELOW[place]
  if ([...common, ...MAY_IMPORT[place]!].some((allowed) => within(to, allowed))) return undefined
  return `${place} may not import ${placeOf(to) ?? to}`
}

const product = [...files('agent'), ...files('native')]
const all = product.flatMap((path) => importsOf(path, readFileSync(join(ROOT, path), 'utf8')))

describe('the import table', () => {
  test('holds for every file', () => {
    const broken = all.flatMap((each) => {
      const why = objection(each)
      return why === undefined ? [] : [`${each.from} → ${each.to}: ${why}`]
    })
    expect(broken).toEqual([])
  })

  test('desired/ and reconcile/ do no input or output: no package, no node module', () => {
    const outside = all.filter(
      (each) => !isLocal(each) && (within(each.from, 'agent/desired') || within(each.from, 'agent/reconcile')),
    )
    expect(outside).toEqual([])
  })

  test('the foreign function package is loaded by native/ alone', () => {
    const users = all.filter((each) => /^(ffi|ref)-napi$/.test(each.to)).map((each) => each.from)
    expect(users.filter((path) => !within(path, 'native'))).toEqual([])
    expect(users).not.toEqual([])
  })

  test('no folder is outside of the table', () => {
    expect(product.filter((path) => !isRoot(path) && placeOf(path) === undefined)).toEqual([])
  })
})

test('the check sees what it is to see', () => {
  const bad = `
    import { a } from '../targets/lb/target.ts'
    import type { B } from '../maps/service.ts'
    export { c } from '../main.ts'
    const d = await import('../../native/index.ts')
    type E = import('../api/types.ts').StatusReport
    import { f } from '../types/address.ts'
  `
  const objections = importsOf('agent/desired/x.ts', bad).map((each) => objection(each) !== undefined)
  expect(objections).toEqual([true, true, true, true, true, false])
})
