# The Debian package: cmake --build build/release --target package makes mvrunner_VERSION_ARCH.deb.
set(MVR_MAINTAINER "mvrunner maintainers <maintainers@mvrunner.example>" CACHE STRING
  "the package's maintainer")
set(debian ${CMAKE_SOURCE_DIR}/config/debian)
set(made ${CMAKE_BINARY_DIR}/package)
file(MAKE_DIRECTORY ${made})

# What Debian wants compressed; without the time of the build in it. Sets `out` to what was made.
function(mvr_compressed out)
  set(all)
  foreach(file ${ARGN})
    get_filename_component(name ${file} NAME)
    add_custom_command(OUTPUT ${made}/${name}.gz DEPENDS ${file}
      COMMAND gzip -9nc ${file} > ${made}/${name}.gz)
    list(APPEND all ${made}/${name}.gz)
  endforeach()
  set(${out} ${all} PARENT_SCOPE)
endfunction()

configure_file(${debian}/changelog ${made}/changelog @ONLY)
mvr_compressed(changelog ${made}/changelog)
file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.[157])
set(compressed ${changelog})
foreach(page ${pages})
  mvr_compressed(page_gz ${page})
  list(APPEND compressed ${page_gz})
  string(REGEX MATCH "[157]$" section ${page})
  install(FILES ${page_gz} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

foreach(shell bash zsh fish)
  add_custom_command(OUTPUT ${made}/completion.${shell} DEPENDS mvrunner
    COMMAND mvrunner completion ${shell} > ${made}/completion.${shell})
  list(APPEND completions ${made}/completion.${shell})
endforeach()
add_custom_target(package_files ALL DEPENDS ${compressed} ${completions})
install(FILES ${made}/completion.bash RENAME mvrunner
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${made}/completion.zsh RENAME _mvrunner
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES ${made}/completion.fish RENAME mvrunner.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

install(FILES ${changelog} ${debian}/copyright README.md
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/mvrunner)
install(FILES config/mvrunner.yaml config/grafana-dashboard.json
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/mvrunner/examples)
install(FILES config/mvrunner.service config/mvrunner-vms.service DESTINATION lib/systemd/system)
install(FILES ${debian}/mvrunner.sysusers DESTINATION lib/sysusers.d RENAME mvrunner.conf)
install(PROGRAMS ${debian}/leave DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/mvrunner)
install(FILES ${debian}/lintian-overrides DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides
  RENAME mvrunner)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT ${MVR_MAINTAINER})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "GitHub Actions runners, a fresh microVM for each job
mvrunner turns one Linux machine into GitHub Actions runners. It finds
queued jobs whose labels match a profile, boots a fresh microVM for each,
lets it run exactly one job, and destroys it. One binary, one YAML file;
no inbound port, no Docker daemon, no Kubernetes, no database server.")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# What the daemon starts, and what makes the group.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "qemu-system-x86 (>= 1:6.2), nftables, iproute2, dnsmasq-base, \
e2fsprogs, openssh-client, ca-certificates, systemd | systemd-standalone-sysusers")
# What makes images and installs kernels.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "buildah | podman | docker.io, dbus, kmod, mmdebstrap")
# What registry_mirror and kernel/build run.
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "docker-registry, python3, gcc, make, bison, flex, bc, libelf-dev")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${debian}/postinst ${debian}/prerm ${debian}/postrm)
include(CPack)
