# A real Doorkeeper on a real Rails, in one file: the partner's side of the tests.
#
#   apt-get install --no-install-recommends ruby-doorkeeper ruby-activerecord puma ruby-sqlite3
#   DOORKEEPER_CLIENT_ID=... DOORKEEPER_CLIENT_SECRET=... DOORKEEPER_ROUTES=routes.json \
#     puma -C - -t 16:16 -b tcp://127.0.0.1:0 tests/doorkeeper/config.ru
#
# Puma loads first and binds last: "* Listening on http://127.0.0.1:PORT" on stdout means ready.
# Every credential is invented, and nothing guards the /__* controls: for loopback only.

ENV["RAILS_ENV"] = "production" # no reloading, no development pages

require "rails"
require "active_record/railtie"
require "active_record/connection_adapters/sqlite3_adapter"
require "action_controller/railtie"
require "doorkeeper"
require "tmpdir"

SCRATCH = Dir.mktmpdir("doorkeeper-")
at_exit { FileUtils.rm_rf(SCRATCH) }

# At once: Puma would wait out any half-sent request, and a plain exit would unwind a thread out of
# the busy handler below with SQLite's mutex still held.
%w[INT TERM].each { |signal| trap(signal) { FileUtils.rm_rf(SCRATCH) && exit!(0) } }

GUARDED = (path = ENV["DOORKEEPER_ROUTES"]) ? JSON.parse(File.read(path)) : []
SCOPES = GUARDED.flat_map { |route| route["scopes"] } | ENV["DOORKEEPER_EXTRA_SCOPES"].to_s.split

class Partner < Rails::Application
  config.root = SCRATCH # so that nothing is read from, or written to, the repository
  config.api_only = config.eager_load = config.cache_classes = true
  config.secret_key_base = "unused" # no cookie, no session: nothing to sign
  config.logger = Logger.new($stderr)
  config.log_level = :fatal # only what raised: an unknown route, a malformed query, a 5xx
  config.x.life = Integer(ENV.fetch("DOORKEEPER_LIFE", 7200))

  config.define_singleton_method(:database_configuration) do
    file = File.expand_path(ENV.fetch("DOORKEEPER_DB", "#{SCRATCH}/tokens.sqlite3"))
    { Rails.env => { "adapter" => "sqlite3", "database" => file, "pool" => 64 } }
  end
end

# What Rails 8 does and 6.1 does not yet. A transaction that reads and then writes must take the
# write lock at once, or SQLite may refuse it midway; and to wait for that lock must be a Ruby
# sleep, for SQLite's own busy_timeout holds the GVL and so stops the very thread it waits for.
ActiveRecord::ConnectionAdapters::SQLite3Adapter.prepend(Module.new do
  def configure_connection
    raw_connection.busy_handler { |tries| sleep(0.001) && tries < 30_000 }
    raw_connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")
    super
  end

  def begin_db_transaction
    log("begin immediate transaction", "TRANSACTION") { raw_connection.transaction(:immediate) }
  end
end)

Doorkeeper.configure do
  orm :active_record
  api_only
  grant_flows %w[client_credentials]
  optional_scopes(*SCOPES)
  custom_access_token_expires_in { |_context| Partner.config.x.life }
  reuse_access_token if ENV["DOORKEEPER_REUSE"] == "1"
  revoke_previous_client_credentials_token if ENV["DOORKEEPER_REVOKE_PREVIOUS"] == "1"
end

Partner.initialize!

# The very migration that `rails generate doorkeeper:migration` would write.
unless ActiveRecord::Base.connection.table_exists?("oauth_access_tokens")
  migration_version = "[#{ActiveRecord::Migration.current_version}]"
  template = Doorkeeper::Engine.root.join("lib/generators/doorkeeper/templates/migration.rb.erb")
  eval(ERB.new(template.read).result(binding))
  ActiveRecord::Migration.suppress_messages { CreateDoorkeeperTables.migrate(:up) }
end

Doorkeeper::Application.find_or_initialize_by(uid: ENV.fetch("DOORKEEPER_CLIENT_ID")).update!(
  name: "partner", secret: ENV.fetch("DOORKEEPER_CLIENT_SECRET"), scopes: SCOPES.join(" "), redirect_uri: ""
)

class ApiController < ActionController::API
  # A list given to doorkeeper_authorize! means any of it, so "all of them" is a call for each;
  # the first call, with no scope, is for a route that only wants a live token.
  before_action do
    ["", *request.path_parameters[:scopes].split].each do |scope|
      doorkeeper_authorize!(*scope.presence) unless performed?
    end
  end

  def show
    render json: { ok: true, path: request.env["PATH_INFO"], **request.env["partner.body"] }
  end
end

Partner.routes.draw do
  use_doorkeeper { skip_controllers :authorizations, :applications, :authorized_applications }

  # Rails takes the first route that fits: literal segments go first, then parameters, then a catch-all.
  specificity = lambda do |route|
    route["path"].split("/").map { |part| [part[/\{\*?/].to_s.size, -part.gsub(/\{.*?\}/, "").size] }
  end

  GUARDED.sort_by(&specificity).each do |route|
    segments = {} # named by us: a template's name may be no Ruby one; a ":verb" is a segment that fits only itself
    pattern = route["path"].sub(/\{\*.*?\}\z/, "*rest").gsub(/\{.*?\}|[:()]\w*/) do |part|
      name = "p#{segments.size}"
      segments[name.to_sym] = part.start_with?("{") ? %r{[^/]+} : Regexp.new(Regexp.escape(part))
      ":#{name}"
    end
    match pattern, to: "api#show", via: route["method"].downcase.to_sym, format: false,
                   constraints: segments, defaults: { scopes: route["scopes"].join(" ") }
  end
end

# Answers the controls, counts what arrives, and takes an API body away before Rails can parse it:
# a body may be any bytes under any content type.
class Desk
  DELAY = ENV["DOORKEEPER_TOKEN_DELAY_MS"].to_f / 1000

  def initialize(app)
    @app, @lock = app, Mutex.new
    @counts = { token_requests: 0, token_requests_by_scope: Hash.new(0), token_statuses: Hash.new(0),
                api_requests: 0, api_requests_by_path: Hash.new(0), api_statuses: Hash.new(0) }
  end

  def call(env)
    case [env["REQUEST_METHOD"], env["PATH_INFO"]]
    in ["GET", "/__ready"] then [204, {}, []]
    in ["GET", "/__counts"]
      [200, { "Content-Type" => "application/json" }, [@lock.synchronize { @counts.to_json }]]
    in ["POST", "/__life"]
      Partner.config.x.life = Integer(env["QUERY_STRING"].delete_prefix("seconds="))
      [204, {}, []]
    in ["POST", "/__secret"] # the body is the client's secret from now on
      secret = env["rack.input"].read
      client = Doorkeeper::Application.where(uid: ENV.fetch("DOORKEEPER_CLIENT_ID"))
      Partner.executor.wrap { client.first!.update!(secret: secret) }
      [204, {}, []]
    in ["POST", "/__revoke"]
      live = Doorkeeper::AccessToken.where(revoked_at: nil)
      Partner.executor.wrap { live.transaction { live.find_each(&:revoke) } }
      [204, {}, []]
    in ["POST", "/oauth/token"]
      scope = ActionDispatch::Request.new(env).POST["scope"].to_s rescue "" # malformed: Rails will say so
      counted(:token, :by_scope, scope) { sleep(DELAY) && @app.call(env) }
    in [_, %r{\A/oauth/}] then @app.call(env)
    in [_, path]
      body = env["rack.input"].read
      env.delete("CONTENT_TYPE")
      env.update("rack.input" => StringIO.new, "CONTENT_LENGTH" => "0",
                 "partner.body" => { body_bytes: body.bytesize, body_sha256: Digest::SHA256.hexdigest(body) })
      counted(:api, :by_path, path) { @app.call(env) }
    end
  end

  private def counted(kind, by, key)
    @lock.synchronize { @counts[:"#{kind}_requests"] += 1; @counts[:"#{kind}_requests_#{by}"][key] += 1 }
    yield.tap { |status, *| @lock.synchronize { @counts[:"#{kind}_statuses"][status] += 1 } }
  end
end

use Desk
run Partner
