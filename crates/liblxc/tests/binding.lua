-- The Lua binding's whole life cycle on the library under test: lxcpath, template.
local lxc = require("lxc")
local lxcpath, template = arg[1], arg[2]

local function is(what, got, wanted)
    if got ~= wanted then
        error(("%s is %s, not %s"):format(what, tostring(got), tostring(wanted)), 2)
    end
end

is("version", tostring(lxc.version_get()):match("[%d.]+") ~= nil, true)
assert(lxc.default_config_path_get():sub(1, 1) == "/")

local c = lxc.container:new("rlxc-lib-lua", lxcpath)
is("defined", c:defined(), false)
is("running", c:running(), false)
is("state", c:state(), "STOPPED")
is("name", c:name(), "rlxc-lib-lua")
is("config path", c:get_config_path(), lxcpath)
assert(c:set_config_item("lxc.net.0.type", "empty"))
assert(c:create(template))
is("defined", c:defined(), true)
is("file", c:config_file_name(), lxcpath .. "/rlxc-lib-lua/config")
local name = c:get_config_item("lxc.uts.name")
is("host name", type(name) == "table" and name[1] or name, "rlxc-lib-lua")
assert(c:set_config_item("lxc.tty.max", "2"))
assert(c:append_config_item("lxc.environment", "COLOUR=blue"))
assert(c:save_config())
assert(c:load_config())
assert(c:get_keys())

assert(c:start())
assert(c:wait("RUNNING", 10))
is("running", c:running(), true)
assert(c:init_pid() > 1)
local interfaces = { c:get_interfaces() }
local first = interfaces[1]
is("interface", type(first) == "table" and first[1] or first, "lo")
assert(c:attach("/bin/true"))
assert(c:freeze())
is("state", c:state(), "FROZEN")
assert(c:unfreeze())
is("state", c:state(), "RUNNING")
assert(c:get_cgroup_item("pids.max") or c:get_cgroup_item("memory.usage_in_bytes") or c:get_cgroup_item("cgroup.procs"))
assert(c:stop())
assert(c:wait("STOPPED", 10))

assert(c:rename("rlxc-lib-lua2"))
local renamed = lxc.container:new("rlxc-lib-lua2", lxcpath)
is("defined", renamed:defined(), true)
assert(renamed:destroy())
is("defined", renamed:defined(), false)
print("the binding is content")
